// A panel without a kernel: all its settings are stored in the page, and the same code as in a notebook draws them.
// `card` and `live` are what card.js and the drawing's own file export; `packed` is the data, JSON in gzip in base64.

// What a widget's view asks its model; events are "change:NAME", several of them with blanks between.
function modelOf(values) {
  const listeners = new Set();
  return {
    values: { ...values },
    get(name) { return this.values[name]; },
    set(name, value) { this.put({ [name]: value }); },
    save_changes() {},
    send() {},
    on(events, call) { listeners.add({ names: events.split(" "), call }); },
    off(events, call) { for (const one of listeners) if (one.call === call) listeners.delete(one); },
    put(next) {
      const changed = Object.keys(next).filter((name) => JSON.stringify(next[name]) !== JSON.stringify(this.values[name])).map((name) => `change:${name}`);
      Object.assign(this.values, next);
      for (const one of [...listeners]) if (one.names.some((name) => changed.includes(name))) one.call();
    },
  };
}

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text());
}

function element(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

// A control as the browser has it; `moved(place)` with the place of a value in its list.
function control(parent, one, moved) {
  const box = element(parent, "label", { className: "vmio-stored-control", title: one.help });
  const name = element(box, "span", { textContent: one.label });
  if (one.kind === "toggle") {
    const tick = element(box, "input", { type: "checkbox", checked: one.at === 1 });
    tick.onchange = () => moved(Number(tick.checked));
  } else if (one.kind === "choice") {
    const list = element(box, "select");
    one.texts.forEach((text, at) => element(list, "option", { textContent: text, value: at, selected: at === one.at }));
    list.onchange = () => moved(Number(list.value));
  } else {
    const range = element(box, "input", { type: "range", min: 0, max: one.texts.length - 1, step: 1, value: one.at });
    const said = element(box, "output");
    const say = () => { said.textContent = one.texts[range.value]; range.setAttribute("aria-valuetext", said.textContent); };
    range.setAttribute("aria-label", name.textContent);
    say();
    range.oninput = () => { say(); moved(Number(range.value)); };
  }
}

async function start(root, packed, card, live) {
  if (typeof DecompressionStream !== "function") {
    root.textContent = "This browser is too old to unpack this page: use a Firefox, Chrome, Edge or Safari of 2023 or newer.";
    return;
  }
  const data = await unpack(packed), places = data.controls.map((one) => one.at);
  const state = () => data.states[data.index[places.reduce((at, place, n) => at * data.controls[n].texts.length + place, 0)]];
  const controls = element(root, "div", { className: "vmio-controls" }), body = element(root, "div", { className: "vmio-body" });
  const shown = () => JSON.stringify({ ...state().shown, lines: data.lines, columns: data.columns, id: data.id });
  const models = [];
  if (live) models.push([modelOf({ ...data.live, ...state().live }), () => state().live, live]);
  models.push([modelOf({ shown: shown() }), () => ({ shown: shown() }), card]);
  for (const [model, , view] of models) {
    const made = typeof view === "function" ? view() : view;
    made.render({ model, el: element(body, "div") });
  }
  data.controls.forEach((one, n) => control(controls, one, (place) => {
    places[n] = place;
    for (const [model, now] of models) model.put(now());
  }));
}
