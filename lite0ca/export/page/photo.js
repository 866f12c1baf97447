// A file or a camera's frame -> a canvas, and its pixels as lite0ca.images.read_image gives them.

import { Trouble } from "./trouble.js";

// About what a phone's graph can resize without running out of memory.
const MOST_PIXELS = 4e6;

// Upright, and with its numbers as stored: training has not read colour profiles either.
const AS_STORED = { imageOrientation: "from-image", colorSpaceConversion: "none" };

export async function bitmapOf(file) {
  try {
    return await createImageBitmap(file, AS_STORED).catch((error) => {
      // An older browser does not know these options.
      if (error instanceof TypeError) return createImageBitmap(file);
      throw error;
    });
  } catch (error) {
    throw new Trouble("photo", error.message);
  }
}

// The pixels of the shorter side that training reads a photo at (lite0ca.images.side_for).
const sideFor = (imageSize) => Math.ceil(imageSize * Math.SQRT2);

// A photo is handed over as it is, since the model resizes as its training did. Only a very large
// one is made smaller first, and never below what training read.
export function drawPhoto(bitmap, canvas, imageSize) {
  const { width, height } = bitmap;
  const least = sideFor(imageSize) / Math.min(width, height);
  const scale = Math.min(1, Math.max(least, Math.sqrt(MOST_PIXELS / (width * height))));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = contextOf(canvas);
  context.fillStyle = "#fff"; // the paper under a transparent picture
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

// The square in the middle, which is what the page shows of the camera.
export function drawFrame(video, canvas) {
  const side = Math.min(video.videoWidth, video.videoHeight);
  const left = (video.videoWidth - side) / 2;
  const top = (video.videoHeight - side) / 2;
  canvas.width = canvas.height = side;
  contextOf(canvas).drawImage(video, left, top, side, side, 0, 0, side, side);
}

// {rgb: Uint8Array (height * width * 3), height, width}
export function pixelsOf(canvas) {
  const { width, height } = canvas;
  const rgba = contextOf(canvas).getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return { rgb, height, width };
}

const contextOf = (canvas) => canvas.getContext("2d", { willReadFrequently: true });
