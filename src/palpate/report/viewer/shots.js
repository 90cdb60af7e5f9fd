// One image as each model sees it: clean, perturbed and the difference, with a map over it, the predictions, and where they change.
"use strict";
const palpateShots = (function () {
  // From the smallest value of a map to its largest: red, green, blue.
  const COLOURS = {
    "blue to yellow": [[24, 32, 120], [30, 110, 200], [40, 190, 210], [170, 235, 150], [255, 250, 200]],
    viridis: [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]],
    magma: [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]],
    red: [[255, 0, 0], [255, 0, 0], [255, 0, 0], [255, 0, 0], [255, 0, 0]],
  };
  const KINDS = ["clean", "perturbed", "difference"];

  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children); // text stays text
    return node;
  }

  // Filters that colour a grey map and make its small values transparent.
  function colourFilters() {
    const space = "http://www.w3.org/2000/svg";
    const svg = (tag, attributes, ...children) => {
      const node = document.createElementNS(space, tag);
      Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
      node.append(...children);
      return node;
    };
    const found = Object.values(COLOURS).map((stops, place) => svg("filter", { id: "v-colours-" + place, "color-interpolation-filters": "sRGB" },
      svg("feColorMatrix", { type: "matrix", values: "1 0 0 0 0  1 0 0 0 0  1 0 0 0 0  1 0 0 0 0" }),
      svg("feComponentTransfer", {},
        ...["R", "G", "B"].map((channel, i) => svg("feFunc" + channel, { type: "table", tableValues: stops.map((stop) => stop[i] / 255).join(" ") })),
        svg("feFuncA", { type: "table", tableValues: "0 .5 .9 1 1" }))));
    return svg("svg", { width: 0, height: 0, class: "v-filters", "aria-hidden": "true" }, ...found);
  }

  const gradient = (name) => "linear-gradient(to right, " + COLOURS[name].map((stop) => "rgb(" + stop + ")").join(", ") + ")";
  const percent = (value) => (value === null || value === undefined ? "" : ", " + Math.round(100 * value) + "%");

  function said(scene, view, step, image) {
    const predicted = view.predictions[step][image];
    if (predicted === null) return "not attacked here";
    const name = scene.classes[predicted] === undefined ? "class " + predicted : scene.classes[predicted];
    return name + (view.confidence ? percent(view.confidence[step][image]) : "");
  }

  // The panel of one model: built once for an image, then changed by `update`.
  function panel(scene, view, image, source, choose) {
    const layers = {}, attack = scene.axis === "ε";
    const shots = KINDS.map((kind) => {
      const photo = make("img", { class: kind === "difference" ? "sharp" : "" });
      const map = make("img", { class: "v-map", alt: "" });
      map.hidden = true;
      const empty = make("span", { class: "v-empty" });
      const words = make("figcaption");
      map.addEventListener("load", () => {
        const none = map.naturalWidth === 1;
        map.hidden = none;
        empty.textContent = none ? "empty map" : "";
      });
      layers[kind] = { photo, map, empty, words };
      return make("figure", { class: "v-shot" }, make("div", { class: "v-layers" }, photo, map, empty), words);
    });
    const strip = make("div", { class: "v-strip" }, ...scene.steps.map((text, step) => {
      const predicted = view.predictions[step][image];
      const right = predicted === scene.labels[image];
      const box = make("button", { type: "button", class: predicted === null ? "v-none" : right ? "v-right" : "v-wrong" }, predicted === null ? "·" : right ? "✓" : "✗");
      const label = scene.axis + " " + text + ": " + said(scene, view, step, image);
      box.title = label;
      box.setAttribute("aria-label", label);
      box.addEventListener("click", () => choose(step));
      return box;
    }));
    const status = { fail: "A check failed", warn: "Checks: warning", pass: "Checks: no failure", "not run": "Not checked" }[view.check];
    const found = make("p", { class: "dim" }, (attack ? "Attack: " : "Corruption: ") + view.found[image] + ". ", make("span", { class: view.check === "fail" ? "bad" : "" }, status + "."));
    const node = make("section", { class: "v-panel" }, make("h4", {}, view.name), make("div", { class: "v-shots" }, ...shots), strip, found);

    function update(state) {
      const explained = state.target ? null : scene.labels[image];
      KINDS.forEach((kind) => {
        const { photo, map, empty, words } = layers[kind];
        const step = kind === "clean" ? 0 : state.step;
        const address = kind === "difference" ? (step ? source(view, "difference", step, image) : null) : source(view, "photo", step, image);
        const changed = kind === "difference" ? "difference ×" + scene.factors[step] : (kind === "clean" || attack ? kind : "corrupted") + ": " + said(scene, view, step, image);
        words.textContent = kind === "difference" && !step ? "difference: none" : changed;
        const predicted = view.predictions[step][image];
        words.className = kind === "difference" || predicted === null ? "" : predicted === scene.labels[image] ? "right" : "wrong";
        photo.hidden = address === null;
        if (address !== null) {
          photo.src = address;
          const of = explained === null ? "the predicted class" : "the true class";
          photo.alt = scene.ids[image] + ", " + changed + (kind !== "difference" && state.map && view.methods.includes(state.map) ? ", with the " + state.map + " map of " + of : "");
        }
        if (kind === "difference") return; // a map would hide it
        const layer = state.map && view.methods.includes(state.map) ? source(view, "map", step, image, state.map, state.target) : undefined;
        map.hidden = !layer || address === null;
        empty.textContent = address === null ? "" : state.map && layer === undefined ? "no such map" : state.map && layer === null ? "empty map" : "";
        if (layer) {
          map.src = layer;
          map.style.opacity = state.opacity / 100;
          map.style.filter = "url(#v-colours-" + Object.keys(COLOURS).indexOf(state.colours) + ")";
        }
      });
      [...strip.children].forEach((box, step) => box.setAttribute("aria-pressed", String(step === state.step)));
    }
    return { node, update };
  }

  return { COLOURS, make, colourFilters, gradient, panel };
})();
