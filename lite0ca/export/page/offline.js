// The service worker keeps the page; a newer version waits until the person wants it.

// `offer(takeOver)` is called when a newer version is complete on this device.
export async function keepForOffline(offer) {
  const workers = navigator.serviceWorker;
  if (!workers) return; // over plain http
  let registration;
  try {
    registration = await workers.register("service-worker.js");
  } catch (error) {
    console.info(`not kept for offline use: ${error.message}`);
    return;
  }
  const look = (worker) => {
    // Without a controller it is the first version of all.
    if (worker?.state !== "installed" || !workers.controller) return;
    offer(() => {
      workers.addEventListener("controllerchange", () => location.reload());
      worker.postMessage("take over");
    });
  };
  look(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker.addEventListener("statechange", () => look(worker));
  });
}
