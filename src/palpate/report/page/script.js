// Draws the figures, sorts and filters the tables, and steps through the maps; everything it needs is in the page.
"use strict";
(function () {
  const LABEL = 46; // pixels that a tick label needs

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
      const save = make("button", { type: "button", class: "save" }, "Save figure");
      save.addEventListener("click", () => Plotly.downloadImage(box, { format: "svg", filename: box.id, width: 900, height: 500 }));
      box.after(save);
    });
  }

  // Figures are drawn when they come into view, so that a page of many opens at once.
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    seen.unobserve(entry.target);
    if (!entry.target.dataset.drawn) draw(entry.target);
  }), { rootMargin: "600px" });

  const ROWS = 10; // shown of a longer table until all are asked for

  function table(node) {
    const bodies = [...node.tBodies];
    const rows = () => bodies.flatMap((body) => [...body.rows]);
    let all = rows().length <= ROWS + 2;
    let wanted = "";
    const show = () => {
      const found = rows().filter((row) => row.textContent.toLowerCase().includes(wanted));
      rows().forEach((row) => { row.hidden = true; });
      found.forEach((row, i) => { row.hidden = !all && i >= ROWS; });
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
    if (!node.classList.contains("sortable")) return;
    const value = (row, column) => {
      let at = 0;
      const cell = [...row.cells].find((one) => (at += one.colSpan) > column);
      if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
      const text = cell.textContent.trim();
      return text === "–" || cell.colSpan > 1 ? null : text;
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

  // Begin at the epsilon where half of the correct predictions are lost: before it little changes, and far beyond it maps are often empty.
  function start(data) {
    const right = data.epsilons.map((_, step) => data.views.reduce((sum, view) =>
      sum + view.predictions[step].filter((prediction, i) => prediction === data.labels[i]).length, 0));
    const found = right.findIndex((count, step) => step > 0 && count <= right[0] / 2);
    return found > 0 ? found : data.epsilons.length - 1;
  }

  function panel(box) {
    const data = JSON.parse(box.querySelector("script").textContent);
    const state = { step: start(data), target: 0 };
    const name = (index) => data.classes[index] === undefined ? "class " + index : data.classes[index];
    const controls = box.querySelector(".controls");
    const shots = []; // {view, image, perturbed, photo, heat, empty, words}

    const slider = make("input", { type: "range", min: 1, max: data.epsilons.length - 1, step: 1, value: state.step, "aria-label": "epsilon" });
    const output = make("output");
    const label = make("label", {}, "ε");
    label.append(slider, output);
    const targets = make("fieldset");
    targets.append(make("legend", {}, "explain"));
    ["true class", "predicted class"].forEach((text, i) => {
      const choice = make("label");
      const radio = make("input", { type: "radio", name: box.id + "-target", value: i });
      radio.checked = i === 0;
      radio.addEventListener("change", () => { state.target = i; show(); });
      choice.append(radio, text);
      targets.append(choice);
    });
    const heat = make("label");
    const tick = make("input", { type: "checkbox" });
    tick.checked = true;
    tick.addEventListener("change", () => box.classList.toggle("no-heat", !tick.checked));
    heat.append(tick, "show the map");
    controls.append(label, targets, heat);
    slider.addEventListener("input", () => { state.step = Number(slider.value); show(); });

    function shot(view, image, perturbed) {
      const node = make("div", { class: "shot" });
      const layers = make("div", { class: "layers" });
      const photo = make("img");
      const map = make("img", { class: "heat", alt: "" });
      const empty = make("span", { class: "void" }, "empty map");
      const words = make("p");
      layers.append(photo, map, empty);
      node.append(layers, words);
      shots.push({ view, image, perturbed, photo, map, empty, words });
      return node;
    }

    const cards = box.querySelector(".cards");
    const few = window.innerWidth < 641 ? 4 : 8;
    data.ids.forEach((id, image) => {
      const card = make("article", { class: "card" });
      card.append(make("h4", {}, id + ": " + name(data.labels[image])));
      data.views.forEach((view) => {
        const twins = make("div", { class: "twins" });
        twins.append(shot(view, image, false), shot(view, image, true));
        card.append(make("div", { class: "model" }, view.model), twins);
      });
      card.hidden = image >= few;
      cards.append(card);
    });
    if (data.ids.length > few) {
      const more = make("button", { type: "button" }, "Show all " + data.ids.length + " samples");
      more.addEventListener("click", () => {
        cards.querySelectorAll(".card").forEach((card) => { card.hidden = false; });
        more.remove();
      });
      cards.after(more);
      window.addEventListener("beforeprint", () => more.click());
    }

    function show() {
      output.textContent = data.epsilons[state.step];
      slider.setAttribute("aria-valuetext", data.epsilons[state.step]);
      shots.forEach((one) => {
        const step = one.perturbed ? state.step : 0;
        const map = one.view.heat[step][state.target][one.image];
        const prediction = one.view.predictions[step][one.image];
        const truth = data.labels[one.image];
        const explained = state.target ? prediction : truth;
        const kind = one.perturbed ? "perturbed" : "clean";
        one.photo.src = data.photos[one.view.photos[step][one.image]];
        one.map.hidden = !map;
        one.empty.hidden = !!map;
        if (map) one.map.src = map; else one.map.removeAttribute("src");
        one.photo.alt = data.ids[one.image] + ", " + kind + ", with the map of " + one.view.model + " for " + name(explained) + (map ? "" : ", which is empty");
        one.words.textContent = kind + ": " + name(prediction);
        one.words.className = prediction === truth ? "right" : "wrong";
      });
      box.querySelector(".said").textContent = "At ε = " + data.epsilons[state.step] + ": " + data.views.map((view) => {
        const right = (step) => view.predictions[step].filter((p, i) => p === data.labels[i]).length;
        const empty = view.heat[state.step][state.target].filter((map) => !map).length;
        return view.model + " classifies " + right(state.step) + " of " + data.ids.length + " samples correctly (clean: " + right(0) + ")" + (empty ? ", " + empty + " maps empty" : "");
      }).join("; ") + ".";
    }
    show();
  }

  document.querySelectorAll("table.data").forEach(table);
  document.querySelectorAll(".plot").forEach((box) => seen.observe(box));
  document.querySelectorAll(".cam").forEach(panel);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    document.querySelectorAll(".plot:not([data-drawn])").forEach(draw);
    document.querySelectorAll(".plot").forEach((box) => Plotly.relayout(box, { autosize: false, width: Math.min(box.clientWidth, 640) }));
  });
  window.addEventListener("afterprint", () => document.querySelectorAll(".plot").forEach((box) => Plotly.relayout(box, { autosize: true, width: null })));
})();
