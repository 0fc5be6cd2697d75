// What each page of the site checks before it starts, said in a sentence at the foot of the page.
// This file is read by old browsers, too: nothing in it is newer than what it asks for.
(function () {
  var LEAST = 50 * 1024 * 1024;   // bytes that a student's work of a term may take

  function missing() {
    if (typeof WebAssembly !== "object") return "WebAssembly";
    if (typeof indexedDB !== "object" || indexedDB === null) return "a place for your work (IndexedDB)";
    if (typeof Worker !== "function") return "web workers";
    try { new Function("async () => { await (await import('x'))?.y; }"); } catch (error) { return "JavaScript of 2020"; }
    return "";
  }

  function say(kind, text) {
    function show() {
      var box = document.createElement("div"), shut = document.createElement("button");
      box.className = "vmio-guard";
      box.setAttribute("role", "alert");
      box.setAttribute("data-kind", kind);
      box.style.cssText = "position:fixed;left:0;right:0;bottom:0;z-index:10000;padding:10px 16px;background:#7a1f00;color:#fff;font:16px sans-serif";
      box.appendChild(document.createTextNode(text + " "));
      shut.textContent = "Close";
      shut.onclick = function () { box.parentNode.removeChild(box); };
      box.appendChild(shut);
      document.body.appendChild(box);
    }
    if (document.body) show(); else document.addEventListener("DOMContentLoaded", show);
  }

  window.vmioGuard = { missing: missing, say: say };
  var lacks = missing();
  if (lacks) {
    say("browser", "This browser lacks " + lacks + ", and the lessons can't run in it: use a Firefox, Chrome, Edge or Safari of 2022 or newer. Nothing was lost.");
    return;
  }
  if (location.protocol === "file:") {
    say("file", "A browser can't run the lessons from a file: start serve.py in this folder (python3 serve.py).");
    return;
  }
  if (!navigator.serviceWorker) {
    say("insecure", "This address is neither https nor this computer: the lessons run, but guesses are forgotten when the kernel ends.");
  }
  if (navigator.storage && navigator.storage.estimate) {
    navigator.storage.estimate().then(function (found) {
      if (found.quota - found.usage < LEAST) {
        say("full", "This browser has little room left for this site (" + Math.max(0, Math.round((found.quota - found.usage) / 1048576)) +
          " MB): what you write may not be saved. Take your work out with File > Download, and make room.");
      }
    });
  }
  if (navigator.storage && navigator.storage.persist) navigator.storage.persist();   // else a browser short of room may forget the work
  if (navigator.locks && document.body !== undefined && /\/lab\//.test(location.pathname)) {
    // The first tab holds the lock as long as it is open.
    navigator.locks.request("vmio-lab " + location.pathname, { ifAvailable: true }, function (lock) {
      if (lock) return new Promise(function () {});
      say("second", "The lessons are open in another tab, and both save into one place: go on in that tab, or close it and load this page again.");
      return undefined;
    });
  }
})();
