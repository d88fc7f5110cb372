// Boxes on a picture, and the same as text.

// How the last stages of a detector look. The colors and line styles are those of the keys in page.css.
const STYLES = [
  { key: "before", color: "#9a3412", width: 1, dash: [1, 3] },
  { key: "after", color: "#1d4ed8", width: 1.5, dash: [6, 4] },
  { key: "final", color: "#15803d", width: 3, dash: [] },
];

/** Return the style of stage `index` of `count`: the detections, which come last, have the last one. */
export function styleOf(index, count) {
  return STYLES[Math.max(0, STYLES.length - count + index)];
}

/**
 * Draw a picture.
 *
 * @param {HTMLCanvasElement} canvas takes the picture's size
 * @param {ImageBitmap} picture
 */
export function drawPicture(canvas, picture) {
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

/** Draw the boxes of a stage, each with its `text` if it has one, in a style of `styleOf`. */
export function drawBoxes(canvas, found, { color, width, dash }) {
  const context = canvas.getContext("2d");
  const unit = Math.max(1, Math.max(canvas.width, canvas.height) / 640); // so that lines are as thick on any picture
  context.strokeStyle = color;
  context.lineWidth = width * unit;
  context.setLineDash(dash.map((length) => length * unit));
  for (const { box: [left, top, right, bottom] } of found) context.strokeRect(left, top, right - left, bottom - top);
  for (const { box, text } of found.filter(({ text }) => text)) drawText(context, box, text, color, 14 * unit);
}

function drawText(context, [left, top], text, color, size) {
  context.font = `${size}px system-ui, sans-serif`;
  const width = context.measureText(text).width + size / 2, above = Math.max(0, top - 1.3 * size);
  context.fillStyle = color;
  context.fillRect(left, above, width, 1.3 * size);
  context.fillStyle = "#ffffff";
  context.fillText(text, left + size / 4, above + size);
}

/** Write detections into the rows of a table, and hide the table if there is none. */
export function listDetections(table, detections) {
  table.hidden = detections.length === 0;
  table.tBodies[0].replaceChildren(...detections.map(({ name, score, box }) => {
    const row = document.createElement("tr");
    for (const text of [name, score.toFixed(2), ...box.map((side) => side.toFixed(0))]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}
