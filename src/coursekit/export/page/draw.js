// Boxes on a picture, and the same as text.

// How the last stages of a detector look. The colors and line styles are those of the keys in page.css.
const STYLES = [
  { key: "before", color: "#9a3412", width: 1, dash: [1, 3] },
  { key: "after", color: "#1d4ed8", width: 1.5, dash: [6, 4] },
  { key: "final", color: "#15803d", width: 3, dash: [] },
];

const LONGEST = 640; // pixels: a picture whose sides are all shorter is enlarged

/** Return the style of stage `index` of `count`: the detections, which come last, have the last one. */
export function styleOf(index, count) {
  return STYLES[Math.max(0, STYLES.length - count + index)];
}

/**
 * Draw a picture. A small one is enlarged; all that is drawn later is, too.
 *
 * @param {HTMLCanvasElement} canvas takes the picture's size, or a larger one
 * @param {ImageBitmap} picture
 */
export function drawPicture(canvas, picture) {
  const scale = Math.max(1, LONGEST / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext("2d");
  context.scale(canvas.width / picture.width, canvas.height / picture.height);
  context.drawImage(picture, 0, 0);
}

/** Draw the boxes of a stage, best first, each with its `text` if it has one, in a style of `styleOf`. */
export function drawBoxes(canvas, found, { color, width, dash }) {
  const context = canvas.getContext("2d"), { a: across, d: down } = context.getTransform();
  const unit = Math.max(canvas.width, canvas.height) / LONGEST; // so that lines are as thick on any picture
  const shown = found.map(({ box: [left, top, right, bottom], text }) => (
    { box: [left * across, top * down, right * across, bottom * down], text })); // in pixels of the canvas
  context.save();
  context.resetTransform();
  context.strokeStyle = color;
  context.lineWidth = width * unit;
  context.setLineDash(dash.map((length) => length * unit));
  for (const { box: [left, top, right, bottom] } of shown.toReversed()) {
    context.strokeRect(left, top, right - left, bottom - top);
  }
  drawTexts(context, shown.filter(({ text }) => text), color, 14 * unit);
  context.restore();
}

/** Draw the texts of boxes, the best one last, so that no other is above it. */
function drawTexts(context, shown, color, size) {
  context.font = `${size}px system-ui, sans-serif`;
  const widths = shown.map(({ text }) => context.measureText(text).width + size / 2);
  const places = placeLabels(shown.map(({ box }) => box), widths, 1.3 * size, context.canvas);
  for (let i = shown.length - 1; i >= 0; i--) {
    const [left, top] = places[i];
    context.fillStyle = color;
    context.fillRect(left, top, widths[i], 1.3 * size);
    context.fillStyle = "#ffffff";
    context.fillText(shown[i].text, left + size / 4, top + size);
  }
}

/**
 * Find a place for the label of each box: above it, or below it if a better box's label is there.
 *
 * @param {number[][]} boxes [left, top, right, bottom] of each box, best first
 * @param {number[]} widths of the labels
 * @param {number} height of each label
 * @param {{width: number, height: number}} canvas labels stay within it, if they fit
 * @returns {number[][]} [left, top] of each label; above its box if both places are taken
 */
export function placeLabels(boxes, widths, height, canvas) {
  const places = [];
  const isFree = ([left, top], width) => places.every(([x, y], i) => (
    left + width <= x || x + widths[i] <= left || top + height <= y || y + height <= top));
  boxes.forEach(([side, top, , bottom], i) => {
    const left = Math.max(0, Math.min(side, canvas.width - widths[i]));
    const above = [left, Math.max(0, top - height)], below = [left, Math.min(bottom, canvas.height - height)];
    places.push(!isFree(above, widths[i]) && isFree(below, widths[i]) ? below : above);
  });
  return places;
}

/** Write detections into the rows of the table in an element, which is hidden if there are none. */
export function listDetections(element, detections) {
  element.hidden = detections.length === 0;
  element.querySelector("tbody").replaceChildren(...detections.map(({ name, score, box }) => {
    const row = document.createElement("tr");
    for (const text of [name, score.toFixed(2), ...box.map((side) => side.toFixed(0))]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}
