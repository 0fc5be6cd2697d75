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

export default {
  render({ el }) {
    el.style.display = "none";
    let watcher, waiting;
    const start = () => {   // the controls may come into the page after this widget
      const controls = el.closest(".vmio-panel")?.querySelector(".vmio-controls");
      if (!controls?.children.length) return (waiting = requestAnimationFrame(start));
      watcher = new MutationObserver(() => dress(controls));
      watcher.observe(controls, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["class"] });
      dress(controls);
    };
    start();
    return () => {
      cancelAnimationFrame(waiting);
      watcher?.disconnect();
    };
  },
};
