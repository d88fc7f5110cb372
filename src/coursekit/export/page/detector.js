// The exported detector: pixels in, the boxes of all stages out.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { prepareImage, restoreBoxes } from "./prepare.js";

ort.env.wasm.numThreads = 1; // more threads would need headers that a plain web server doesn't send
ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };

/** Load the detector and its settings from this folder. */
export async function loadDetector() {
  const settings = await (await fetch("settings.json")).json();
  return { settings, session: await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }) };
}

/**
 * Run the detector.
 *
 * @param {ImageData} image
 * @returns {Promise<{stages: {box: number[], score: number, name: string}[][], milliseconds: {prepare: number,
 *     network: number}}>} the boxes of each stage of the settings, in pixels of the image; the detections are the last
 */
export async function detect({ settings, session }, image) {
  const start = performance.now();
  const { input, size, scale } = prepareImage(image, settings);
  const prepared = performance.now();
  const outputs = await session.run({
    image: new ort.Tensor("float32", input, [1, 3, ...settings.size]),
    image_size: new ort.Tensor("float32", Float32Array.from(size), [2]),
  });
  const milliseconds = { prepare: prepared - start, network: performance.now() - prepared };
  const stages = settings.stages.map(({ boxes, scores, labels }) => restoreBoxes(outputs[boxes].data, scale, image)
    .map((box, i) => ({
      box,
      score: outputs[scores].data[i],
      name: labels ? settings.classes[Number(outputs[labels].data[i]) - 1] : "",
    }))
    .filter(({ score }) => score >= 0)); // the rest is padding
  return { stages, milliseconds };
}
