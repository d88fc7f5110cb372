// The page: a picture or the webcam goes to the detector, and what it finds is drawn.

import { detect, loadDetector } from "./detector.js";
import { drawBoxes, drawPicture, listDetections, styleOf } from "./draw.js";

const element = (id) => document.getElementById(id);
const canvas = element("picture"), video = element("video");
let detector;
let checkboxes = []; // one for each stage
let shown = null; // the picture, and what was found in it
let queue = Promise.resolve(); // pictures wait here for their turn

function say(text) {
  if (element("status").textContent !== text) element("status").textContent = text;
}

/** Return an image's pixels. `source` is an ImageBitmap, or a video. */
function pixelsOf(source, width, height) {
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(source, 0, 0);
  return copy.getImageData(0, 0, width, height);
}

/** Run the detector on an image, when the ones before are done, and draw what it finds. */
function show(source, width, height, name) {
  const pixels = pixelsOf(source, width, height);
  queue = queue.then(async () => {
    const found = await detect(detector, pixels);
    shown?.picture.close();
    shown = { picture: await createImageBitmap(pixels), name, ...found };
    redraw();
  }).catch((error) => say(`${name}: the detector failed (${error.message}). Try a smaller picture.`));
  return queue;
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
  const counts = detector.settings.stages.map(({ title }, i) => checkboxes[i].checked && `${title}: ${stages[i].length}`);
  const summary = `${name}. ${counts.filter(Boolean).join(", ") || "No stage is chosen"}`;
  canvas.setAttribute("aria-label", summary);
  if (name !== "Webcam") say(`${summary}.`); // a webcam would never stop talking
  element("times").textContent = `Preparing the picture took ${milliseconds.prepare.toFixed(0)} ms, `
    + `the network ${milliseconds.network.toFixed(0)} ms.`;
}

async function showFile(file) {
  stopCamera();
  say(`Looking at ${file.name} …`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright, as its EXIF tag says
  } catch {
    say(`${file.name} is no picture that this browser can read. Try a JPEG or a PNG.`);
    return;
  }
  await show(bitmap, bitmap.width, bitmap.height, file.name);
}

async function startCamera() {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    say(`The webcam can't be used (${error.name}). Allow it for this page, or choose a picture.`);
    return;
  }
  await video.play();
  element("camera").textContent = "Stop the webcam";
  say("The webcam is on.");
  while (video.srcObject) {
    await show(video, video.videoWidth, video.videoHeight, "Webcam");
    await new Promise(requestAnimationFrame);
  }
}

function stopCamera() {
  if (!video.srcObject) return;
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
  for (const [event, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    document.addEventListener(event, (happened) => {
      happened.preventDefault();
      document.body.classList.toggle("dragging", isOver);
      if (event === "drop" && happened.dataTransfer.files[0]) showFile(happened.dataTransfer.files[0]);
    });
  }
}

try {
  detector = await loadDetector();
  listStages(detector.settings.stages);
  listen();
  element("file").disabled = element("camera").disabled = false;
  say("Ready. Choose a picture, drop one here, or use the webcam.");
} catch (error) {
  say(`The detector could not be loaded (${error.message}). Open this page from a web server, such as `
    + "coursekit export --serve: browsers don't load it from a file.");
}
