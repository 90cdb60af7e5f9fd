// Draws the figures, and sorts and filters the tables; everything it needs is in the page.
"use strict";
(function () {
  const LABEL = 56; // pixels that a tick label needs, such as 0.000392

  function make(tag, attributes, text) {
    const node = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([name, value]) => node.setAttribute(name, value));
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // Keep only tick labels that have room, the first and the last among them.
  function thinned(axis, width) {
    if (!axis.tickvals) return null;
    const span = axis.range[1] - axis.range[0];
    const at = axis.tickvals.map((value) => ((value - axis.range[0]) / span) * width);
    const last = at.length - 1;
    const kept = [];
    at.forEach((place, i) => {
      const clear = !kept.length || place - at[kept[kept.length - 1]] >= LABEL;
      if (i === last || (clear && at[last] - place >= LABEL)) kept.push(i);
    });
    return axis.ticktext.map((text, i) => (kept.includes(i) ? text : ""));
  }

  function draw(box) {
    const source = box.querySelector("script");
    const figure = JSON.parse(source.textContent);
    const full = figure.layout.xaxis.ticktext;
    const fit = () => {
      const axis = Object.assign({}, figure.layout.xaxis, { ticktext: full });
      const text = full && thinned(axis, box.clientWidth - 68);
      if (text) Plotly.relayout(box, { "xaxis.ticktext": text });
    };
    box.dataset.drawn = "begun";
    Plotly.newPlot(box, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: false }).then(() => {
      fit();
      new ResizeObserver(fit).observe(box);
      box.dataset.drawn = "yes";
      const saves = make("p", { class: "actions save" });
      ["svg", "png"].forEach((format) => {
        const save = make("button", { type: "button" }, "Save as " + format.toUpperCase());
        const size = { width: 900, height: Math.round(Math.max(400, (900 * box.clientHeight) / Math.max(box.clientWidth, 700))) };
        save.addEventListener("click", () => Plotly.downloadImage(box, Object.assign({ format, filename: box.id, scale: format === "png" ? 3 : 1 }, size)));
        saves.append(save);
      });
      box.after(saves);
    });
  }

  // Figures are drawn when they come into view, so that a page of many opens at once.
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    seen.unobserve(entry.target);
    if (!entry.target.dataset.drawn) draw(entry.target);
  }), { rootMargin: "600px" });

  function table(node) {
    const bodies = [...node.tBodies];
    const rows = () => bodies.flatMap((body) => [...body.rows]);
    const shown = Number(node.dataset.shown); // of a longer table until all are asked for
    let all = rows().length <= shown + 2;
    let wanted = "";
    const show = () => {
      const found = rows().filter((row) => row.textContent.toLowerCase().includes(wanted));
      rows().forEach((row) => { row.hidden = true; });
      found.forEach((row, i) => { row.hidden = !all && i >= shown; });
    };
    if (!all) {
      const tools = make("div", { class: "tools" });
      const filter = make("input", { type: "search", placeholder: "filter", "aria-label": "Filter the rows of the table" });
      filter.addEventListener("input", () => { wanted = filter.value.toLowerCase(); show(); });
      const more = make("button", { type: "button" }, "Show all " + rows().length + " rows");
      const unfold = () => { all = true; more.remove(); show(); };
      more.addEventListener("click", unfold);
      window.addEventListener("beforeprint", unfold);
      tools.append(filter, more);
      node.parentNode.after(tools);
      show();
    }
    const value = (row, column) => {
      const cell = row.cells[column];
      if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
      const text = cell.textContent.trim();
      return text === "–" || text === "no signal" ? null : text;
    };
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    [...node.tHead.rows[0].cells].forEach((head, column) => {
      const button = make("button", { type: "button", class: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
        [...node.tHead.rows[0].cells].forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
        bodies.forEach((body) => {
          const pairs = [...body.rows].map((row) => [value(row, column), row]);
          pairs.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : down * order(a, b));
          body.append(...pairs.map(([, row]) => row));
        });
        show();
      });
    });
  }

  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copy);
    const range = document.createRange();
    range.selectNodeContents(source);
    window.getSelection().removeAllRanges();
    window.getSelection().addRange(range);
    if (document.execCommand("copy")) button.textContent = "Copied";
  }));
  document.querySelectorAll("table.data").forEach(table);
  document.querySelectorAll(".plot").forEach((box) => seen.observe(box));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    document.querySelectorAll(".plot:not([data-drawn])").forEach(draw);
    document.querySelectorAll(".plot").forEach((box) => Plotly.relayout(box, { autosize: false, width: Math.min(box.clientWidth, 640) }));
  });
  window.addEventListener("afterprint", () => document.querySelectorAll(".plot").forEach((box) => Plotly.relayout(box, { autosize: true, width: null })));
})();
