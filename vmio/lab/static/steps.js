// Stepping through frames, with buttons and with the keyboard: for ring_view.js and timeline_view.js, which stand after it in the same module.

const PAUSE = 1100;                             // ms: a step while playing

function html(parent, tag, properties = {}, style = "") {
  const element = Object.assign(document.createElement(tag), properties);
  element.style.cssText = style;
  return parent.appendChild(element);
}

// Back, Step, Play and a range under `root`, for the model's `frame` of `frames`; `name` begins their classes.
function steps(root, model, name) {
  const view = {};
  const row = html(root, "div", {}, "display:flex;gap:8px;align-items:center;margin:6px 8px");
  const look = "font:inherit;min-width:5em;padding:4px 10px;background:#f4f4f4;color:#222;border:1px solid #222;border-radius:4px;cursor:pointer";
  const button = (which, text, onclick) => html(row, "button", { type: "button", textContent: text, className: `${name}-${which}-button`, onclick }, look);
  const last = () => model.get("frames").length - 1;
  const go = (frame) => {
    model.set("frame", Math.max(0, Math.min(frame, last())));
    model.save_changes();
  };
  const stop = view.stop = () => {
    view.timer = clearInterval(view.timer);
    view.play.textContent = "Play";
  };
  const tick = () => (model.get("frame") < last() ? go(model.get("frame") + 1) : stop());
  button("back", "Back", () => { stop(); go(model.get("frame") - 1); });
  button("step", "Step", () => { stop(); go(model.get("frame") + 1); });
  view.play = button("play", "Play", () => {
    if (view.timer) return stop();
    if (model.get("frame") >= last()) go(0);
    view.timer = setInterval(tick, PAUSE);
    view.play.textContent = "Pause";
  });
  view.range = html(row, "input", { type: "range", min: 0, className: `${name}-range`, oninput: () => { stop(); go(Number(view.range.value)); } }, "flex:1;min-width:8em;accent-color:#0072B2");
  view.range.setAttribute("aria-label", "Step");
  for (const one of row.children) one.dataset.lmSuppressShortcuts = "true";   // the keys are theirs, not JupyterLab's
  return view;
}
