// Runs the network beside the page, so that nothing there waits for it.

import * as ort from "./onnxruntime.js";

let session;

const WORK = {
  async start({ model, runtime, threads }) {
    ort.env.logLevel = "error";
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.initTimeout = 30_000; // threads that never come are an error, not a wait
    session = await ort.InferenceSession.create(new Uint8Array(model));
    // The first answer of all takes longer; nobody waits for this one.
    await run(new Uint8Array(64 * 64 * 3), 64, 64);
    return {};
  },

  async look({ rgb, height, width }) {
    const start = performance.now();
    const { probabilities, distance } = await run(rgb, height, width);
    return { probabilities, distance, milliseconds: performance.now() - start };
  },
};
const TROUBLE = { start: "model", look: "run" };

async function run(rgb, height, width) {
  const photo = new ort.Tensor("uint8", rgb, [height, width, 3]);
  const { probabilities, distance } = await session.run({ photo });
  // How far from the training photos; some models do not know it.
  return { probabilities: probabilities.data, distance: distance ? distance.data[0] : null };
}

// (module (func (result v128) i32.const 0 i8x16.splat)): refused by a browser without SIMD.
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, // magic, version
  1, 5, 1, 96, 0, 1, 123, // one type: () -> v128
  3, 2, 1, 0, // one function of it
  10, 8, 1, 6, 0, 65, 0, 253, 15, 11, // its code
);
const able = typeof WebAssembly === "object" && WebAssembly.validate(SIMD);

addEventListener("message", async ({ data }) => {
  const { number, kind } = data;
  try {
    if (!able) throw new Error("no SIMD");
    postMessage({ number, ...(await WORK[kind](data)) });
  } catch (error) {
    const trouble = able ? TROUBLE[kind] : "browser";
    postMessage({ number, trouble, detail: String(error?.message ?? error) });
  }
});
