// The model in its worker: downloaded and started once, then asked one photo at a time.

import { Trouble } from "./trouble.js";

// gzip, by names that no server takes for it: one that did would have the browser unpack them too.
const FILES = ["model.packed", "onnxruntime.packed"];

// `told(got, of)` hears the bytes; `again` goes past the browser's cache.
export async function loadModel(facts, told, again = false, threads = threadsHere()) {
  if (typeof DecompressionStream === "undefined") throw new Trouble("browser", "no gzip");
  let got = 0;
  const of = FILES.reduce((sum, name) => sum + facts.download[name], 0);
  const count = (bytes) => told((got += bytes), of);
  const [model, runtime] = await Promise.all(
    FILES.map((name) => download(name, facts.download[name], count, again)),
  );
  const asked = new Asked(threads);
  try {
    await asked.ask({ kind: "start", model, runtime, threads }, [model, runtime]);
    asked.started = true;
  } catch (error) {
    asked.end();
    // A browser may promise threads and then not give them.
    if (threads > 1) return loadModel(facts, told, false, 1);
    throw error;
  }
  return asked;
}

// Threads share memory, which a page has only if its server (or service worker) isolates it. Half
// of the cores: on a busy device threads that wait for a core answer later than one alone.
function threadsHere() {
  const cores = navigator.hardwareConcurrency || 1;
  return self.crossOriginIsolated ? Math.min(4, Math.ceil(cores / 2)) : 1;
}

// "no-cache" asks the server whether what the browser keeps is still right: old probabilities with
// new names would be wrong answers.
export function fetchNow(name, again) {
  return fetch(name, { cache: again ? "reload" : "no-cache" });
}

async function download(name, length, count, again) {
  const content = new Uint8Array(length);
  let at = 0;
  try {
    const response = await fetchNow(name, again);
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length <= length) content.set(value, at);
      at += value.length;
      count(value.length);
    }
  } catch (error) {
    throw new Trouble("network", error.message);
  }
  if (at !== length) throw new Trouble("model", `${name}: ${at} bytes, not ${length}`);
  return unpacked(name, content);
}

async function unpacked(name, content) {
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return await new Response(stream).arrayBuffer();
  } catch (error) {
    throw new Trouble("model", `${name}: ${error.message}`);
  }
}

class Asked {
  constructor(threads) {
    this.threads = threads;
    this.started = false;
    this.waiting = new Map();
    this.number = 0;
    this.worker = boundWorker("inference-worker.js");
    this.worker.addEventListener("message", ({ data }) => {
      const { resolve, reject } = this.waiting.get(data.number);
      this.waiting.delete(data.number);
      data.trouble ? reject(new Trouble(data.trouble, data.detail)) : resolve(data);
    });
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) {
        reject(new Trouble(this.started ? "run" : "network", event.message));
      }
      this.waiting.clear();
    });
  }

  ask(question, moved) {
    const number = this.number++;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage({ number, ...question }, moved);
    });
  }

  // {probabilities: Float32Array, distance: number or null, milliseconds}
  answer({ rgb, height, width }) {
    return this.ask({ kind: "look", rgb, height, width }, [rgb.buffer]);
  }

  end() {
    this.worker.terminate();
  }
}

// A worker started from a file has a Content-Security-Policy only if its server sends one. Started
// from a blob it inherits this page's, and so cannot reach another origin either.
function boundWorker(name) {
  const line = `import ${JSON.stringify(new URL(name, import.meta.url).href)};`;
  const url = URL.createObjectURL(new Blob([line], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  // Safari reads the blob only after this function has returned.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return worker;
}
