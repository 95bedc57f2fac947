"use strict";
// Choosing: files are dropped or picked, one picture of each is shown before and after, and a job is made of it.

const pending = [];  // {path, name, dropped}
const LOOK_AFTER_MS = 250, LOOKS_KEPT = 4;
const looks = new Map();  // by what was asked: {about, pair}
let shown = null, looking = null, timer = 0, lookCount = 0;

function offer(name, values, before = "") {
  for (const value of values) {
    const option = made("option", `${before}${value}`);
    option.value = value;
    element(name).append(option);
  }
}

function prepare(offered) {
  element("scale").replaceChildren(...offered.scales.map((scale) => {
    const option = made("option", `${scale} times`);
    option.value = scale;
    option.selected = scale === 3;
    return option;
  }));
  offer("container", offered.containers, ".");
  offer("quality", offered.qualities);
  element("quality-label").hidden = offered.qualities.length < 2;
  element("folders").hidden = !offered.roots.length;
  listRoots(offered.roots);
}

// Folders

function entryRow(entry, open) {
  const row = made("li"), node = made("button");
  node.type = "button";
  node.append(made("span", entry.folder ? `${entry.name}/` : entry.name), made("span", entry.folder ? "" : size(entry.bytes), "size"));
  node.addEventListener("click", () => open().catch((error) => say(error.message, true)));
  row.append(node);
  return row;
}

function listRoots(roots) {
  element("where").textContent = "";
  element("entries").replaceChildren(...roots.map((root) => entryRow(root, () => list(root, []))));
}

async function list(folder, above) {
  const { entries } = await asked("GET", `/api/folder?path=${folder.query}`);
  element("where").textContent = folder.path;
  const back = entryRow({ name: "..", folder: false, bytes: 0 }, async () => {
    if (above.length) await list(above.at(-1), above.slice(0, -1));
    else listRoots(desk.roots);
  });
  back.querySelector("button").replaceChildren(made("span", "Back"));
  const all = entries.map((entry) => entryRow(entry, async () => {
    if (entry.folder) await list(entry, [...above, folder]);
    else choose([{ path: entry.path, name: entry.name }]);
  }));
  element("entries").replaceChildren(back, ...all);
  back.querySelector("button").focus();
}

// Dropped files

function send(file) {
  const row = made("li"), bar = made("progress"), line = made("span", `${file.name} `);
  const stop = made("button", "Stop");
  stop.type = "button";
  stop.setAttribute("aria-label", `Stop sending ${file.name}`);
  bar.setAttribute("aria-label", `sending ${file.name}`);
  row.append(line, bar, stop);
  element("sending").append(row);
  const request = new XMLHttpRequest();
  stop.addEventListener("click", () => request.abort());
  return new Promise((done, failed) => {
    request.upload.onprogress = ({ loaded, total }) => {
      bar.max = total;
      bar.value = loaded;
    };
    request.onload = () => {
      const answer = JSON.parse(request.response || "{}");
      if (request.status === 201) done({ path: answer.path, name: file.name });
      else failed(new Error(answer.error || request.response));
    };
    request.onerror = () => failed(new Error(`${file.name}: could not be sent`));
    request.onabort = () => failed(new Error(`${file.name}: not sent`));
    request.onloadend = () => row.remove();
    request.open("PUT", address(`/api/dropped?name=${encodeURIComponent(file.name.toWellFormed?.() ?? file.name)}`));
    request.send(file);
  });
}

async function sendAll(files) {
  for (const file of files) {
    try {
      const { room_bytes: room } = await asked("GET", "/api/desk");
      if (file.size > room) throw new Error(`${file.name}: ${size(file.size)}; ${size(room)} are free for it`);
      choose([await send(file)]);
    } catch (error) {
      say(error.message, true);
    }
  }
}

for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") sendAll([...event.dataTransfer.files]);
  });
}
element("pick").addEventListener("click", () => element("files").click());
element("files").addEventListener("change", () => {
  sendAll([...element("files").files]);
  element("files").value = "";
});

// Choices

function choose(files) {
  pending.push(...files);
  if (pending.length === files.length) next();
  else count();
}

function count() {
  const others = pending.length - 1;
  element("more").textContent = others > 0 ? `${others} more ${others === 1 ? "file waits" : "files wait"} for you` : "";
  element("start-all").hidden = others < 1;
  element("start-all").textContent = `Start all ${pending.length} like this`;
}

function next() {
  const file = pending[0];
  element("choose").hidden = !file;
  shown = null;
  if (!file) return;
  element("chosen").textContent = file.name;
  element("at").value = 0;
  element("at").max = 0;
  element("at-label").hidden = true;
  element("about").textContent = "";
  const paper = element("picture").getContext("2d");
  paper.clearRect(0, 0, element("picture").width, element("picture").height);
  count();
  element("chosen").focus();
  look();
}

function options() {
  const chosen = { scale: Number(element("scale").value) };
  for (const name of ["model", "quality"]) {
    if (element(name).value !== "auto") chosen[name] = element(name).value;
  }
  for (const name of ["sharpen", "strength"]) {
    const value = Number(element(name).value);
    if (value !== (name === "strength" ? 1 : 0)) chosen[name] = value;
  }
  return chosen;
}

async function look() {
  const file = pending[0];
  if (!file) return;
  const wanted = { path: file.path, at_s: Number(element("at").value), options: options() };
  const key = JSON.stringify(wanted);
  looking?.abort();
  looking = new AbortController();
  const { signal } = looking;
  element("stage").classList.add("busy");
  try {
    if (!looks.has(key)) {
      element("about").textContent = "making the picture";
      const buffer = await (await ask("POST", "/api/look", wanted, signal)).arrayBuffer();
      const end = new Uint8Array(buffer).indexOf(10);
      const about = JSON.parse(new TextDecoder().decode(buffer.slice(0, end)));
      looks.set(key, { about, pair: await pairOf(buffer.slice(end + 1)) });
      if (looks.size > LOOKS_KEPT) {
        const [oldest, { pair }] = looks.entries().next().value;
        looks.delete(oldest);
        pair.forEach((image) => image !== shown?.pair[0] && image !== shown?.pair[1] && image.close());
      }
    }
    if (signal.aborted) return;
    shown = looks.get(key);
    const { about } = shown;
    element("stage").style.setProperty("--shape", about.shape);
    element("at").max = about.duration_s;
    element("at-label").hidden = !about.duration_s;
    element("about").textContent = `${about.from.join(" x ")} becomes ${about.to.join(" x ")}; ${about.how}`;
    divide();
    lookCount += 1;
    document.body.dataset.looks = lookCount;
  } catch (error) {
    if (error.name === "AbortError") return;
    element("about").textContent = error.message;
  }
  element("stage").classList.remove("busy");
}

function divide() {
  if (shown) drawDivided(element("picture"), ...shown.pair, element("divider").value / 1000);
}

async function add(files) {
  for (const file of files) {
    await ask("POST", "/api/jobs", { path: file.path, container: element("container").value, options: options() });
    pending.splice(pending.indexOf(file), 1);
  }
}

async function started(files) {
  const buttons = ["start", "start-all"].map(element);
  buttons.forEach((node) => { node.disabled = true; });
  try {
    await add(files);
    say(`${files.length === 1 ? files[0].name : `${files.length} files`}: in the queue`);
    next();
  } catch (error) {
    element("about").textContent = error.message;
    count();
  }
  buttons.forEach((node) => { node.disabled = false; });
  await refresh();
}

element("divider").addEventListener("input", divide);
element("choices").addEventListener("input", () => {
  for (const name of ["sharpen", "strength"]) element(`${name}-value`).textContent = `${Math.round(element(name).value * 100)} %`;
  element("at-time").textContent = clock(element("at").value);
  clearTimeout(timer);
  timer = setTimeout(look, LOOK_AFTER_MS);
});
element("choices").addEventListener("submit", (event) => {
  event.preventDefault();
  started([pending[0]]);
});
element("start-all").addEventListener("click", () => started([...pending]));
element("not-this").addEventListener("click", () => {
  pending.shift();
  next();
});
