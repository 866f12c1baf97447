// The page: what was shown to it, what it answers, and how it says so.

import { Camera } from "./camera.js";
import { fetchNow, loadModel } from "./model.js";
import { keepForOffline } from "./offline.js";
import { bitmapOf, drawFrame, drawPhoto, pixelsOf } from "./photo.js";
import { Trouble } from "./trouble.js";
import { firstLanguage, remember, WORDS } from "./words.js";

const $ = (id) => document.getElementById(id);
const canvas = $("photo");
const camera = new Camera($("video"), lookAtFrame, stopLive);

let language = firstLanguage();
let facts = null;
let model = null;
let loading = null; // {got, of}: bytes
let trouble = null; // a Trouble
let answer = null; // {probabilities, distance, milliseconds}
let shown = 0; // photos and live views so far: a late answer to an earlier one is dropped
let live = false;
let asking = false; // for the camera
let frame = false; // of the live view: its answer is on the way
let heard = null; // {of, at}: the answer that was spoken last

// --- loading ---------------------------------------------------------------------------------

async function load(again = false) {
  trouble = null;
  const mine = (loading = { got: 0, of: 0 });
  render();
  try {
    facts = await readFacts(again);
    drawBars();
    model = await loadModel(
      facts,
      (got, of) => {
        Object.assign(mine, { got, of });
        if (loading === mine) render(); // where one file fails, the other still comes
      },
      again,
    );
    // After the model, so that its megabytes are not loaded twice at once.
    keepForOffline((takeOver) => {
      $("newer").hidden = false;
      $("reload").onclick = takeOver;
    });
    if (!canvas.hidden) await look(shown);
  } catch (error) {
    fail(error);
  }
  loading = null;
  renderWords();
}

async function readFacts(again) {
  try {
    const response = await fetchNow("model.json", again);
    if (!response.ok) throw new Error(`model.json: ${response.status}`);
    return await response.json();
  } catch (error) {
    throw new Trouble("network", error.message);
  }
}

// --- looking ---------------------------------------------------------------------------------

async function lookAtFile(file) {
  stopLive();
  const number = ++shown;
  answer = null;
  forget();
  render();
  try {
    const bitmap = await bitmapOf(file);
    if (number === shown) drawPhoto(bitmap, canvas, facts?.image_size ?? 224);
    bitmap.close();
    if (number !== shown) return;
    showPhoto(true);
    render();
    await look(number);
  } catch (error) {
    if (number !== shown) return;
    if (error.word === "photo") showPhoto(false);
    fail(error);
  }
  render();
}

function showPhoto(there) {
  canvas.hidden = !there;
  $("invitation").hidden = there;
}

// What is on the canvas; while the model still loads, `load` looks once it is there.
async function look(number) {
  if (!model) return;
  const given = await model.answer(pixelsOf(canvas));
  if (number !== shown) return;
  answer = given;
  trouble = null;
}

async function lookAtFrame() {
  if (!model) return;
  drawFrame($("video"), canvas);
  frame = true;
  try {
    await look(shown);
  } catch (error) {
    stopLive();
    fail(error);
  }
  frame = false;
  render();
}

async function startLive() {
  const number = ++shown;
  answer = null;
  forget();
  showPhoto(false);
  asking = true; // the browser asks the person, perhaps
  render();
  try {
    await camera.start();
    live = number === shown;
    if (live) camera.run();
    else camera.stop(); // a photo was chosen meanwhile
  } catch (error) {
    if (number === shown) fail(error);
  }
  asking = false;
  render();
}

// The frame that was looked at last stays, with its answer.
function stopLive() {
  camera.stop();
  if (!live) return;
  live = false;
  shown += answer ? 0 : 1;
  showPhoto(Boolean(answer));
  render();
}

// What went wrong, unless there is still no model: then "Try again" has to stay.
function forget() {
  if (model || loading) trouble = null;
}

function fail(error) {
  trouble = error instanceof Trouble ? error : new Trouble("run", error.message);
  console.info(`${trouble.word}: ${trouble.message}`);
}

// --- saying ----------------------------------------------------------------------------------

const DETAILED = ["network", "model", "run"]; // for whoever has to mend it

const called = (number) => facts.names[language][number];
const percent = (share) =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);
const megabytes = (bytes) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: 1, minimumFractionDigits: 1 }).format(
    bytes / 1e6,
  );

// Unchanged text is left alone, or a screen reader would say it twice a second.
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// Is the distance to the training photos beyond "limit", or even "no_leaf"?
const beyond = (limit) =>
  Boolean(answer && facts.distance && answer.distance > facts.distance[limit]);

function render() {
  const words = WORDS[language];
  const best = answer ? answer.probabilities.indexOf(Math.max(...answer.probabilities)) : -1;
  const likely = answer && answer.probabilities[best] >= (facts.sure_from ?? Infinity);
  const unlike = beyond("limit");
  const sure = likely && !unlike;
  const name = answer && called(best);
  const bytes = loading && loading.got < loading.of;

  $("card").className = trouble ? "wrong" : answer && !sure ? "unsure" : "";
  $("progress").hidden = !bytes;
  $("progress").value = bytes ? loading.got / loading.of : 0;
  $("retry").hidden = !trouble || Boolean(loading) || Boolean(model && trouble.word !== "run");
  say("best", sure && !trouble ? percent(answer.probabilities[best]) : "");
  say("took", answer && !trouble ? `${Math.round(answer.milliseconds)} ms` : "");
  const advice = unlike ? [words.unlike, words.advice] : [words.advice]; // a line each
  say("advice", answer && !sure && !trouble ? advice.join("\n") : "");
  if (trouble) {
    say("answer", words.trouble[trouble.word]);
    say("remark", DETAILED.includes(trouble.word) ? trouble.message.slice(0, 120) : "");
  } else if (answer) {
    const share = percent(answer.probabilities[best]);
    const noLeaf = beyond("no_leaf");
    say("answer", sure ? name : noLeaf ? words.noLeaf : words.unsure);
    say("remark", sure ? words.here : (noLeaf ? words.ifLeaf : words.likely)(name, share));
  } else if (!model) {
    say("answer", bytes || !loading?.of ? words.loading : words.starting);
    say("remark", bytes ? words.loaded(megabytes(loading.got), megabytes(loading.of)) : "");
  } else {
    say("answer", live || !canvas.hidden ? words.looking : words.ready);
    say("remark", "");
  }
  speak(best, sure, advice.join("; "));
  for (const [number, row] of [...$("bars").rows].entries()) {
    const share = answer && !trouble ? answer.probabilities[number] : null;
    row.classList.toggle("best", share !== null && number === best);
    row.dataset.probability = share ?? "";
    row.querySelector(".percent").textContent = share === null ? "–" : percent(share);
    row.querySelector("i").style.width = `${100 * (share ?? 0)}%`;
  }

  $("video").hidden = $("live").hidden = !live;
  if (live) canvas.hidden = $("invitation").hidden = true;
  $("point").setAttribute("aria-pressed", live);
  $("point").setAttribute("aria-disabled", asking); // disabled, it would lose the keyboard
  say("point-word", live ? words.stop : words.point);
}

// For whoever hears the page: one sentence for each answer, and for what else happens. The live view
// is heard when it sees another class, at most every three seconds. An answer on the way is waited
// for: the one before is not of the frame that is shown.
function speak(best, sure, advice) {
  const said = $("answer").textContent;
  if (trouble || !answer) {
    const waits = !trouble && said === WORDS[language].looking;
    say("spoken", waits ? "" : said); // empty, so that the next one is heard
    heard = null;
    return;
  }
  if (frame) return;
  const of = [shown, live, language, sure ? best : said].join();
  const now = performance.now();
  if (live && heard && (of === heard.of || now - heard.at < 3000)) return;
  heard = { of, at: now };
  const share = percent(answer.probabilities[best]);
  say("spoken", sure ? `${called(best)}, ${share}` : `${said}: ${advice}`);
}

// What changes with the language alone, or with the facts.
function renderWords() {
  const words = WORDS[language];
  document.documentElement.lang = language;
  document.title = words.title;
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = words[element.dataset.word];
  }
  $("language").textContent = words.other;
  $("language").lang = language === "en" ? "vi" : "en";
  canvas.setAttribute("aria-label", words.photo);
  $("video").setAttribute("aria-label", words.point);
  $("progress").setAttribute("aria-label", words.loading);
  if (facts) {
    $("bars").setAttribute("aria-label", words.bars);
    $("knows").textContent = words.knows(facts.classes.length);
    $("drawn").hidden = !facts.drawn_sample;
    for (const [number, row] of [...$("bars").rows].entries()) {
      row.querySelector("th").textContent = called(number);
    }
    renderFacts(words.facts);
  }
  render();
}

function drawBars() {
  const rows = facts.classes.map(() => {
    const row = document.createElement("tr");
    const [label, bar, share] = ["th", "td", "td"].map((tag) => document.createElement(tag));
    label.scope = "row";
    bar.className = "bar";
    bar.ariaHidden = "true";
    bar.append(document.createElement("div"));
    bar.firstChild.append(document.createElement("i"));
    share.className = "percent";
    row.append(label, bar, share);
    return row;
  });
  $("bars").replaceChildren(...rows);
  renderWords();
}

function renderFacts(words) {
  const bytes = facts.download["model.packed"];
  const threads = model ? `, ${words.threads(model.threads)}` : "";
  const lines = [
    [words.name, facts.name],
    [words.data, facts.drawn_sample ? words.drawings : facts.data],
    [words.sure, facts.sure_from == null ? words.never : sureFrom(words)],
    [words.photo, `${facts.image_size} × ${facts.image_size}`],
    [words.size, `${megabytes(bytes)} MB`],
    [words.version, facts.version],
    [words.runtime, facts.runtime + threads],
  ];
  const parts = lines.flatMap(([term, text]) => {
    const pair = [document.createElement("dt"), document.createElement("dd")];
    pair[0].textContent = term;
    pair[1].textContent = text ?? "";
    return pair;
  });
  $("facts").replaceChildren(...parts);
}

function sureFrom(words) {
  const share = percent(facts.sure_from);
  return facts.distance ? `${share}, ${words.like}` : share;
}

// --- hands -----------------------------------------------------------------------------------

for (const name of ["take", "choose"]) {
  const input = $(`${name}-file`);
  $(name).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) lookAtFile(input.files[0]);
    input.value = ""; // so that the same photo can be chosen again
  });
}
$("invitation").addEventListener("click", () => $("choose-file").click());
$("point").addEventListener("click", () => asking || (live ? stopLive() : startLive()));
$("retry").addEventListener("click", () => {
  const again = trouble.word !== "run";
  model?.end();
  model = null;
  load(again);
});
$("language").addEventListener("click", () => {
  language = language === "en" ? "vi" : "en";
  remember(language);
  renderWords();
});
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) lookAtFile(clipboardData.files[0]);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // or the browser would leave for the file itself
    $("frame").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) lookAtFile(event.dataTransfer.files[0]);
  });
}

document.body.classList.add("started");
renderWords();
load();
