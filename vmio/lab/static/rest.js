// After Run > Run All Cells JupyterLab leaves the page at the last cell; here it comes back to the notebook's first panel, once.
//
// Run All makes the last cell the active one; no single cell that is run does (the next one is active then).  Nothing moves if
// a hand has touched wheel, page or keys meanwhile, or has scrolled the last cell out of sight before this was loaded.

const HANDS = ["wheel", "touchmove", "pointerdown", "keydown"];
const FRESH = 60_000;       // ms since the panel came to the page: one that is drawn anew later is none of a run
const STILL = 30;           // looks, a tenth of a second each, until all is where it stays

function whole(notebook) {
  const cells = [...notebook.querySelectorAll(".jp-Cell")], last = cells[cells.length - 1];
  return { cells, last, all: last?.classList.contains("jp-mod-active"), busy: cells.some((cell) => cell.querySelector(".jp-InputPrompt")?.textContent.includes("*")) };
}

function inSight(cell, page) {
  const one = cell.getBoundingClientRect(), all = page.getBoundingClientRect();
  return one.top < all.bottom && one.bottom > all.top;
}

// Returns what ends the waiting.
function restAt(panel, born) {
  const notebook = panel.closest(".jp-Notebook"), page = panel.closest(".jp-WindowedPanel-outer"), own = panel.closest(".jp-Cell");
  if (!notebook || !page || panel !== notebook.querySelector(".vmio-panel") || performance.now() - born > FRESH) return () => {};
  const { cells, last, all } = whole(notebook);
  if (!all || cells.indexOf(own) > cells.length - 3) return () => {};
  // A page that had to be scrolled to its last cell keeps that in sight while it grows, if the browser can.
  if (CSS.supports("overflow-anchor", "auto") && page.scrollTop > 0 && !inSight(last, page)) return () => {};
  let timer = 0, quiet = 0;
  const end = () => {
    clearTimeout(timer);
    for (const hand of HANDS) window.removeEventListener(hand, end, true);
  };
  const look = () => {
    const { all: still, busy } = whole(notebook);
    if (!still || !panel.isConnected) return end();
    quiet = busy ? 0 : quiet + 1;
    if (quiet > STILL) return end();
    if (quiet >= 3) {           // cells above may still grow as they come into sight
      const one = panel.getBoundingClientRect(), seen = page.getBoundingClientRect();
      page.scrollTop += one.top - seen.top - Math.max(8, (seen.height - one.height) / 2);
    }
    timer = setTimeout(look, 100);
  };
  for (const hand of HANDS) window.addEventListener(hand, end, true);
  timer = setTimeout(look, 100);
  return end;
}
