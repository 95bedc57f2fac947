"use strict";
// A picture before and after with a line between them, as the live page and the desk show it.

// The pictures of a message: the length of the first (4 bytes, little-endian), then both as JPEG.
async function pairOf(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const image = (from, to) => createImageBitmap(new Blob([buffer.slice(from, to)], { type: "image/jpeg" }));
  return Promise.all([image(4, 4 + length), image(4 + length)]);
}

// `before` up to this share of the width, `after` behind it.
function drawDivided(picture, before, after, share) {
  const paper = picture.getContext("2d");
  if (picture.width !== after.width || picture.height !== after.height) {
    picture.width = after.width;
    picture.height = after.height;
  }
  const width = picture.width, height = picture.height;
  const x = Math.round(width * share);
  paper.drawImage(after, 0, 0);
  if (x > 0) {
    paper.save();
    paper.beginPath();
    paper.rect(0, 0, x, height);
    paper.clip();
    paper.imageSmoothingQuality = "high";
    paper.drawImage(before, 0, 0, width, height);
    paper.restore();
  }
  const line = Math.max(2, 2 * width / picture.clientWidth);  // two pixels of the screen, however small it is
  paper.fillStyle = "white";
  paper.fillRect(x - line / 2, 0, line, height);
}
