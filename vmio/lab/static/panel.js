// Names for what ipywidgets leaves nameless: a slider's handle, a row of buttons, and the figures' readout.
// It draws nothing; `panel.py` puts one of these into each panel, and its style sheet comes along.

const set = (element, name, value) => element.getAttribute(name) === value || element.setAttribute(name, value);

function dress(controls) {
  for (const control of controls.children) {
    const label = control.querySelector(":scope > label.widget-label")?.textContent;
    const handle = control.querySelector("[role=slider]");
    const buttons = [...control.querySelectorAll(".widget-toggle-button")];
    if (handle && label) {
      set(handle, "aria-label", label);
      set(handle, "aria-valuetext", control.querySelector(".widget-readout")?.textContent.trim() || "");
    }
    if (buttons.length && label) {
      set(buttons[0].parentElement, "role", "group");
      set(buttons[0].parentElement, "aria-label", label);
      for (const button of buttons) set(button, "aria-pressed", String(button.classList.contains("mod-active")));
    }
  }
}

// A panel that nobody answers any more says what to run.
const RESTARTED = "This panel's kernel was restarted or is gone, so nothing answers here: choose Run > Run All Above Selected Cell, then run this cell.";
const CLOSED = "A cell above, or this notebook in another window, has made this panel anew: run this cell again to see it here.";

function note(parent, words) {
  const text = document.createElement("p");
  text.className = "vmio-note-to-run";
  text.setAttribute("role", "alert");
  text.textContent = words;
  parent.prepend(text);
  return text;
}

function render(el, born) {
  el.style.display = "none";
  let watcher, waiting, connection, gone = null, output, moving;
  const look = (panel) => {
    const lost = panel.classList.contains("jupyter-widgets-disconnected");
    if (lost && !gone) gone = note(panel, RESTARTED);
    if (!lost && gone) gone = gone.remove() ?? null;
  };
  const start = () => {   // the controls may come into the page after this widget
    const panel = el.closest(".vmio-panel"), controls = panel?.querySelector(".vmio-controls");
    if (!controls?.children.length) return (waiting = requestAnimationFrame(start));
    output = panel.closest(".jp-OutputArea-output")?.parentElement;   // JupyterLab hides the output itself when its panel closes
    connection = new MutationObserver(() => look(panel));
    connection.observe(panel, { attributes: true, attributeFilter: ["class"] });
    watcher = new MutationObserver(() => dress(controls));
    watcher.observe(controls, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["class"] });
    dress(controls);
    moving = restAt(panel, born);
  };
  start();
  return () => {
    cancelAnimationFrame(waiting);
    moving?.();
    watcher?.disconnect();
    connection?.disconnect();
    setTimeout(() => output?.isConnected && !output.querySelector(".vmio-panel, .vmio-note-to-run") && note(output, CLOSED), 500);
  };
}

export default () => {
  const born = performance.now();
  return { render: ({ el }) => render(el, born) };
};
