// What happens around the network, as in `coursekit.export.prepare`: an image goes in as in training, and boxes come
// back to its pixels. All that happens between is in the ONNX file.

/**
 * Turn an image into the detector's input, like `prepare_image`: resize to the largest size that fits, normalize, pad.
 *
 * @param {ImageData} image its pixels: red, green, blue and alpha of each, row by row
 * @param {{size: number[], mean: number[], std: number[]}} settings size is [height, width] of the input
 * @returns {{input: Float32Array, size: number[], scale: number[]}} the input, (1, 3, height, width); the [height,
 *     width] of the image in it; and the scale, [vertical, horizontal]
 */
export function prepareImage(image, { size, mean, std }) {
  const factor = Math.min(size[0] / image.height, size[1] / image.width);
  const height = Math.max(1, Math.floor(image.height * factor));
  const width = Math.max(1, Math.floor(image.width * factor));
  const rows = neighbors(height, image.height), columns = neighbors(width, image.width);
  const area = size[0] * size[1], input = new Float32Array(3 * area);
  for (let y = 0; y < height; y++) {
    const top = rows.first[y] * image.width, bottom = rows.second[y] * image.width, down = rows.weight[y];
    for (let x = 0; x < width; x++) {
      const left = columns.first[x], right = columns.second[x], across = columns.weight[x];
      const a = 4 * (top + left), b = 4 * (top + right), c = 4 * (bottom + left), d = 4 * (bottom + right);
      for (let channel = 0; channel < 3; channel++) {
        const upper = (1 - across) * image.data[a + channel] + across * image.data[b + channel];
        const lower = (1 - across) * image.data[c + channel] + across * image.data[d + channel];
        const value = ((1 - down) * upper + down * lower) / 255;
        input[channel * area + y * size[1] + x] = (value - mean[channel]) / std[channel];
      }
    }
  }
  return { input, size: [height, width], scale: [height / image.height, width / image.width] };
}

/** For each of `count` pixels of a resized side: the two pixels of the original to read, and the second's weight. */
function neighbors(count, original) {
  const first = new Int32Array(count), second = new Int32Array(count), weight = new Float32Array(count);
  const step = Math.fround(original / count); // rounded to float32 where PyTorch does
  for (let i = 0; i < count; i++) {
    const place = Math.max(0, Math.fround(Math.fround((i + 0.5) * step) - 0.5)); // pixel i has its center at i + 0.5
    first[i] = Math.min(Math.floor(place), original - 1);
    second[i] = Math.min(first[i] + 1, original - 1);
    weight[i] = place - first[i];
  }
  return { first, second, weight };
}

/**
 * Move boxes from pixels of the input to those of the image, like `restore_boxes`.
 *
 * @param {Float32Array} boxes x1, y1, x2, y2 of each box
 * @param {number[]} scale [vertical, horizontal], from `prepareImage`
 * @param {{height: number, width: number}} image boxes are clipped at its edges
 * @returns {number[][]} [x1, y1, x2, y2] of each box
 */
export function restoreBoxes(boxes, [vertical, horizontal], { height, width }) {
  const within = (value, limit) => Math.min(Math.max(value, 0), limit);
  return Array.from({ length: boxes.length / 4 }, (_, i) => [
    within(boxes[4 * i] / horizontal, width), within(boxes[4 * i + 1] / vertical, height),
    within(boxes[4 * i + 2] / horizontal, width), within(boxes[4 * i + 3] / vertical, height),
  ]);
}
