// Keeps this version of the page on the device: every file is answered from there, so it works
// offline. Python fills in the three lines below when it writes the page.
const VERSION = "";
const FILES = [];
const POLICY = "";

const PREFIX = `lite0ca ${registration.scope} `; // other pages of this origin keep theirs
const NAME = PREFIX + VERSION;
const START = new URL("./", registration.scope).href;
const KEPT = new Set([START, ...FILES.map((name) => new URL(name, START).href)]);

// Isolated, the page may use threads; with the policy, its workers reach this origin alone.
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
};

addEventListener("install", (event) => {
  // "no-cache" asks the server whether what the page has just loaded is still right.
  const requests = [...KEPT].map((url) => new Request(url, { cache: "no-cache" }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(requests)));
});

addEventListener("activate", (event) => {
  event.waitUntil(removeOlder().then(() => clients.claim()));
});

async function removeOlder() {
  const older = (await caches.keys()).filter((key) => key.startsWith(PREFIX) && key !== NAME);
  await Promise.all(older.map((key) => caches.delete(key)));
}

addEventListener("message", ({ data }) => {
  if (data === "take over") skipWaiting();
});

addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.origin !== location.origin) {
    event.respondWith(Response.error());
    return;
  }
  url.search = url.hash = "";
  if (event.request.method === "GET" && KEPT.has(url.href)) {
    event.respondWith(keptAnswer(url.href, event.request));
  }
});

async function keptAnswer(url, request) {
  const answer = (await (await caches.open(NAME)).match(url)) ?? (await fetch(request));
  const headers = new Headers(answer.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(answer.body, { status: answer.status, headers });
}
