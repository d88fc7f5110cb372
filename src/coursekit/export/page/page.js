// The page: a picture or the webcam goes to the detector, and what it finds is drawn.

import { drawBoxes, drawPicture, listDetections, styleOf } from "./draw.js";

const element = (id) => document.getElementById(id);
const canvas = element("picture"), video = element("video");
let detect, detector; // once they are loaded
let waiting = null; // a file that was dropped before
let checkboxes = []; // one for each stage
let shown = null; // the picture, and what was found in it
let queue = Promise.resolve(); // pictures wait here for their turn
let latest = 0; // number of the latest request, for a picture or the webcam: what comes of an earlier one isn't shown

function say(text) {
  if (element("status").textContent !== text) element("status").textContent = text;
}

/** Return an image's pixels. `source` is an ImageBitmap, or a video. */
function pixelsOf(source, width, height) {
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(source, 0, 0);
  return copy.getImageData(0, 0, width, height);
}

/** Run the detector on an image, when the ones before are done, and draw what it finds: unless there's a new request. */
function show(source, width, height, name, request) {
  queue = queue.then(async () => {
    if (request !== latest) return;
    const pixels = pixelsOf(source, width, height);
    const found = await detect(detector, pixels), picture = await createImageBitmap(pixels);
    if (request !== latest) return;
    shown?.picture.close();
    shown = { picture, name, ...found };
    redraw();
  }).catch((error) => {
    if (request === latest) fail(`${name}: the detector failed (${error.message}). Try a smaller picture.`);
  });
  return queue;
}

/** Say what went wrong, and remove the result of the picture before. */
function fail(text) {
  shown?.picture.close();
  shown = null;
  [canvas.width, canvas.height] = [320, 240]; // which empties it
  canvas.setAttribute("aria-label", "No picture");
  listDetections(element("found"), []);
  element("times").textContent = "";
  say(text);
}

/** Draw what was found, as the controls say. */
function redraw() {
  const threshold = Number(element("threshold").value);
  element("threshold-value").textContent = threshold.toFixed(2);
  if (!shown) return;
  const { picture, name, milliseconds } = shown;
  const stages = shown.stages.map((found, i) => (checkboxes[i].checked ? found : [])
    .filter(({ score }) => score >= threshold)
    .map((box) => ({ ...box, text: box.name && `${box.name} ${box.score.toFixed(2)}` })));
  drawPicture(canvas, picture);
  stages.forEach((found, i) => drawBoxes(canvas, found, styleOf(i, stages.length)));
  listDetections(element("found"), stages.at(-1));
  const counts = detector.settings.stages.map(({ title }, i) => (
    checkboxes[i].checked && `${title}: ${stages[i].length} of ${shown.stages[i].length}`));
  const summary = `${name}. ${counts.filter(Boolean).join(", ") || "No stage is chosen"}`;
  canvas.setAttribute("aria-label", summary);
  if (name !== "Webcam") say(`${summary}.`); // a webcam would never stop talking
  element("times").textContent = `Preparing the picture took ${milliseconds.prepare.toFixed(0)} ms, `
    + `the network ${milliseconds.network.toFixed(0)} ms.`;
}

async function showFile(file) {
  stopCamera();
  const request = ++latest;
  say(`Looking at ${file.name} …`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright, as its EXIF tag says
  } catch {
    if (request === latest) fail(`${file.name} isn't a picture this browser can read. Try a JPEG or a PNG.`);
    return;
  }
  await show(bitmap, bitmap.width, bitmap.height, file.name, request);
  bitmap.close();
}

async function startCamera() {
  const request = ++latest, button = element("camera");
  button.disabled = true; // until the browser has asked for permission
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: true });
    if (request !== latest) { // a picture was chosen meanwhile
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    video.srcObject = stream;
  } catch (error) {
    if (request === latest) say(whyNoCamera(error));
    return;
  } finally {
    button.disabled = false;
  }
  button.textContent = "Stop the webcam";
  await video.play().catch(() => {}); // fails if it is stopped before it has begun
  if (request === latest) say("The webcam is on.");
  while (request === latest) {
    await show(video, video.videoWidth, video.videoHeight, "Webcam", request);
    await new Promise(requestAnimationFrame);
  }
}

function whyNoCamera({ name }) {
  if (name === "NotFoundError") return "No webcam was found. Choose a picture.";
  return `The webcam can't be used (${name}). Allow it for this page, or choose a picture.`;
}

function stopCamera() {
  if (!video.srcObject) return;
  latest++;
  video.srcObject.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  element("camera").textContent = "Use the webcam";
  say("The webcam is off.");
}

/** Make a checkbox for each stage. Only the detections are shown at first. */
function listStages(stages) {
  checkboxes = stages.map(({ title }, i) => {
    const label = document.createElement("label"), key = document.createElement("span");
    const checkbox = Object.assign(document.createElement("input"), { type: "checkbox" });
    checkbox.checked = i === stages.length - 1;
    key.className = `key ${styleOf(i, stages.length).key}`;
    label.append(checkbox, key, title);
    element("stages").append(label);
    return checkbox;
  });
}

function listen() {
  for (const input of [element("threshold"), ...checkboxes]) input.addEventListener("input", redraw);
  element("file").addEventListener("change", ({ target }) => target.files[0] && showFile(target.files[0]));
  element("camera").addEventListener("click", () => (video.srcObject ? stopCamera() : startCamera()));
}

/** Take files that are dropped, from the start: else the browser would leave the page for the file. */
function listenForDrops() {
  for (const [event, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    document.addEventListener(event, (happened) => {
      happened.preventDefault();
      document.body.classList.toggle("dragging", isOver);
      const file = event === "drop" && happened.dataTransfer.files[0];
      if (!file) return;
      if (detector) showFile(file);
      else waiting = file;
    });
  }
}

say("Loading the detector …");
listenForDrops();
try {
  const module = await import("./detector.js");
  detect = module.detect;
  detector = await module.loadDetector();
  listStages(detector.settings.stages);
  listen();
  element("file").disabled = element("camera").disabled = false;
  say("Ready. Choose a picture, drop one here, or use the webcam.");
  if (waiting) showFile(waiting);
} catch (error) {
  say(`The detector could not be loaded (${error.message}). Open this page from a web server, such as `
    + "coursekit export --serve: browsers don't load it from a file.");
}
