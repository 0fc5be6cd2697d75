// A saved notebook in a new kernel: in the place of each panel ipywidgets says only "model not found".  Here it says what to run,
// and what the panel showed, which is stored beside it as text.  JupyterLab 4 and Notebook 7 load this file as it is: a
// container of webpack's module federation (https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html) is an object
// with `init` and `get`, and this one needs nothing of the others.
(() => {
  const LOST = "Error displaying widget: model not found";
  const RUN = "What stood here needs a kernel that has run the cells above: choose Run > Run All Cells.";

  // The text that the notebook keeps beside an output, "" if it keeps none.
  function stored(app, output) {
    for (const page of app.shell.widgets("main")) {
      for (const cell of page.content?.widgets ?? []) {
        const area = cell.outputArea;
        if (!area?.node.contains(output)) continue;
        const at = area.widgets.findIndex((one) => one.node.contains(output));
        const text = area.model.get(at)?.data["text/plain"] ?? "";
        return Array.isArray(text) ? text.join("") : String(text);
      }
    }
    return "";
  }

  function say(app, output) {
    const text = stored(app, output), words = document.createElement("pre");
    words.className = "vmio-stored-panel";
    words.setAttribute("role", "note");
    words.style.whiteSpace = "pre-wrap";
    words.textContent = text.startsWith("To see the panel") ? text : RUN;
    output.replaceChildren(words);
  }

  function activate(app) {
    const look = (changes) => {
      for (const { target, addedNodes } of changes) {
        for (const node of addedNodes) {
          if (node.data === LOST) say(app, target);
          if (node.nodeType !== Node.ELEMENT_NODE) continue;
          // what was written before it came into the page
          for (const one of [node, ...node.querySelectorAll(".jupyter-widgets")]) if (one.firstChild?.data === LOST) say(app, one);
        }
      }
    };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  }

  const plugin = { id: "vmio:stored-panel", autoStart: true, activate };
  (window._JUPYTERLAB ??= {}).vmio = { init() {}, get: async () => () => ({ __esModule: true, default: plugin }) };
})();
