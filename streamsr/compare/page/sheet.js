// What is left and right of the dividers of all shots: pictures that the page shows below each.

const sides = ["left", "right"].map((id) => document.getElementById(id));

const pictures = new Map();  // of each shot: what createImageBitmap made of them

function drawShot(shot) {
  const stage = shot.querySelector(".divided");
  const [before, after] = sides.map((side) => pictures.get(shot)[side.value]);
  stage.querySelectorAll(".label").forEach((label, i) => {
    label.textContent = sides[i].selectedOptions[0].textContent;
  });
  stage.style.width = `${after.width}px`;
  drawDivided(stage.querySelector("canvas"), before, after, stage.querySelector("input").value / 1000);
}

async function show() {
  const shots = [...document.querySelectorAll(".shot")];
  for (const shot of shots) {
    const images = [...shot.querySelectorAll("img")];
    await Promise.all(images.map((image) => image.decode()));
    pictures.set(shot, await Promise.all(images.map((image) => createImageBitmap(image))));
    shot.querySelector("input").addEventListener("input", () => drawShot(shot));
  }
  const draw = () => shots.forEach(drawShot);
  sides[1].value = document.getElementById("sides").dataset.right;
  sides.forEach((side) => side.addEventListener("change", draw));
  addEventListener("resize", draw);
  draw();
  document.body.dataset.drawn = shots.length;
}
show();
