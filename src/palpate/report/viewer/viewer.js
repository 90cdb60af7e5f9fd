// The viewer: chooses samples by filter and order, steps through epsilons, and keeps what is shown in the page's address.
"use strict";
function palpateViewer(root) {
  const { COLOURS, make, colourFilters, gradient, panel } = palpateShots;
  const inside = root.querySelector("script");
  const scenes = JSON.parse(inside ? inside.textContent : root.dataset.scenes);
  const state = { scene: 0, image: 0, step: 1, map: "", target: 0, opacity: 70, colours: "blue to yellow", filter: "all", label: "", group: "", sort: "stored", models: [] };
  let scene = null;
  let order = []; // images that pass the filter, in their order
  let items = []; // a list item per image
  let panels = [];
  let touched = false;
  let waiting = 0; // a timer

  const load = (place) => (inside ? Promise.resolve(scenes[place]) : fetch("scene/" + place).then((answer) => answer.json()));

  // The address of a picture; null where there is none.
  function source(view, kind, step, image, method, target) {
    if (scene.pictures) {
      const place = kind === "map" ? view.maps[method][step][target][image] : view[kind + "s"][step][image];
      return place === null ? null : scene.pictures[place];
    }
    if (view.predictions[step][image] === null) return null;
    const numbers = kind === "map" ? [view.methods.indexOf(method), step, target, image] : [step, image];
    return [kind, state.scene, scene.views.indexOf(view), ...numbers].join("/");
  }

  const wrong = (view, step, i) => view.predictions[step][i] !== null && view.predictions[step][i] !== scene.labels[i];
  const missed = (view, i, label) => scene.labels[i] === label && view.predictions[state.step][i] === 1 - label;
  const shown = () => scene.views.filter((view) => state.models.includes(view.name) && (state.filter !== "check" || view.check === "fail"));
  const FILTERS = {
    all: ["all images", () => true],
    fooled: ["correct when clean, misclassified at this step or before", (i, views) => views.some((view) => !wrong(view, 0, i) && view.predictions.some((_, step) => step <= state.step && wrong(view, step, i)))],
    missed: ["missed disease at this step", (i, views) => scene.classes.length === 2 && views.some((view) => missed(view, i, 1))],
    alarm: ["false alarm at this step", (i, views) => scene.classes.length === 2 && views.some((view) => missed(view, i, 0))],
    disagree: ["models disagree at this step", (i, views) => new Set(views.map((view) => view.predictions[state.step][i]).filter((one) => one !== null)).size > 1],
    clean: ["misclassified when clean", (i, views) => views.some((view) => wrong(view, 0, i))],
    never: ["misclassified at no step", (i, views) => views.every((view) => view.predictions.every((_, step) => !wrong(view, step, i)))],
    check: ["models with a failed check", (i, views) => views.length > 0],
  };
  const smallest = (i) => Math.min(...shown().map((view) => (view.radius[i] === null ? Infinity : view.radius[i])));
  const SORTS = { stored: "as stored", smallest: "smallest radius first", largest: "largest radius first", name: "by name" };

  // Controls
  const option = (value, text) => make("option", { value }, text);
  const labelled = (text, ...nodes) => make("label", {}, text + " ", ...nodes);
  const select = (name, rerun) => {
    const node = make("select", { "data-name": name });
    node.addEventListener("change", () => { state[name] = node.value; rerun(); });
    return node;
  };
  const picks = { scene: select("scene", () => begin(Number(state.scene))), filter: select("filter", arrange), label: select("label", arrange), group: select("group", arrange), sort: select("sort", arrange), map: select("map", update), target: select("target", () => { state.target = Number(state.target); update(); }), colours: select("colours", update) };
  const slider = make("input", { type: "range", min: 0, step: 1 });
  const output = make("output");
  const opacity = make("input", { type: "range", min: 0, max: 100, step: 5, "aria-label": "opacity of the map" });
  const legend = make("span", { class: "v-legend", role: "img", "aria-label": "colours of the map, from its smallest value to its largest" });
  const models = make("details", { class: "v-models" });
  const axis = document.createTextNode("ε ");
  const list = make("ul", { class: "v-list", "aria-label": "Samples" });
  const heading = make("h3", { class: "v-title" });
  const link = make("a", { href: "#view" }, "Link to this view");
  const count = make("p", { class: "said", "aria-live": "polite" });
  const detail = make("div", { class: "v-panels" });
  const note = make("p", { class: "dim" });
  const before = make("button", { type: "button" }, "◀ previous");
  const after = make("button", { type: "button" }, "next ▶");
  slider.addEventListener("input", () => go(Number(slider.value)));
  opacity.addEventListener("input", () => { state.opacity = Number(opacity.value); update(); });
  before.addEventListener("click", () => move(-1));
  after.addEventListener("click", () => move(1));
  Object.entries(FILTERS).forEach(([name, [text]]) => picks.filter.append(option(name, text)));
  Object.entries(SORTS).forEach(([name, text]) => picks.sort.append(option(name, text)));
  Object.keys(COLOURS).forEach((name) => picks.colours.append(option(name, name)));
  ["true class", "predicted class"].forEach((text, place) => picks.target.append(option(place, text)));
  scenes.forEach((one, place) => picks.scene.append(option(place, one.title)));
  const choosing = make("div", { class: "v-bar" }, labelled("images", picks.scene), labelled("show", picks.filter), labelled("class", picks.label), labelled("subgroup", picks.group), labelled("order", picks.sort), models);
  const stepping = make("div", { class: "v-bar v-stepping" }, make("label", {}, axis, slider, output), labelled("map", picks.map), labelled("of the", picks.target), labelled("opacity", opacity), labelled("colours", picks.colours), legend);
  const keys = make("p", { class: "dim v-keys" }, "Keys: ← → step, ↑ ↓ sample, m map, c class. ", link);
  root.append(colourFilters(), choosing, stepping, count, make("div", { class: "v-main" }, list, make("div", { class: "v-detail" }, make("div", { class: "v-head" }, heading, before, after), detail, keys, note)));

  function begin(place, wanted) {
    state.scene = place;
    return load(place).then((found) => {
      scene = found;
      state.image = 0;
      state.models = scene.views.slice(0, window.innerWidth < 700 ? 1 : 3).map((view) => view.name);
      state.step = half();
      const methods = [...new Set(scene.views.flatMap((view) => view.methods))];
      picks.map.replaceChildren(option("", "none"), ...methods.map((name) => option(name, name)));
      picks.label.replaceChildren(option("", "any"), ...scene.classes.map((name, i) => option(i, name)));
      const groups = Object.entries(scene.groups || {}).flatMap(([column, values]) => [...new Set(values)].filter(Boolean).sort().map((value) => option(JSON.stringify([column, value]), column + ": " + value)));
      picks.group.replaceChildren(option("", "any"), ...groups);
      picks.group.parentNode.hidden = !groups.length;
      picks.scene.parentNode.hidden = scenes.length < 2;
      ["missed", "alarm"].forEach((name) => { picks.filter.querySelector("[value=" + name + "]").hidden = scene.classes.length !== 2; });
      Object.assign(state, { label: "", group: "" }, wanted && wanted(scene));
      if (!methods.includes(state.map)) state.map = "";
      slider.max = scene.steps.length - 1;
      axis.data = scene.axis + " ";
      slider.setAttribute("aria-label", scene.axis);
      note.textContent = scene.note || "";
      choices();
      const start = shared(scene.ids);
      items = scene.ids.map((id, i) => {
        const view = scene.views.find((one) => source(one, "photo", 0, i));
        const button = make("button", { type: "button" }, make("img", { src: view ? source(view, "photo", 0, i) : "", loading: "lazy", alt: "" }), make("span", { title: id }, start > 8 ? "…" + id.slice(start) : id));
        button.addEventListener("click", () => { state.image = i; open(); });
        return make("li", {}, button);
      });
      arrange();
    });
  }

  // How much of their beginning all names share, in whole parts.
  function shared(names) {
    const first = names[0] || "";
    let same = 0;
    while (same < first.length && names.every((name) => name[same] === first[same])) same++;
    return first.slice(0, same).search(/[^/_. -]*$/);
  }

  function choices() {
    models.replaceChildren(make("summary", {}, "models (" + scene.views.length + ")"), ...scene.views.map((view) => {
      const tick = make("input", { type: "checkbox" });
      tick.checked = state.models.includes(view.name);
      tick.addEventListener("change", () => {
        state.models = scene.views.map((one) => one.name).filter((name) => (name === view.name ? tick.checked : state.models.includes(name)));
        arrange();
      });
      return make("label", {}, tick, view.name + (view.check === "fail" ? " (check failed)" : ""));
    }));
  }

  // The step at which half of the correct predictions are lost: before it little changes.
  function half() {
    const right = scene.steps.map((_, step) => scene.views.reduce((sum, view) => sum + view.predictions[step].filter((p, i) => p !== null && p === scene.labels[i]).length, 0));
    const found = right.findIndex((number, step) => step > 0 && number <= right[0] / 2);
    return found > 0 ? found : scene.steps.length - 1;
  }

  function arrange() {
    const views = shown();
    const [column, value] = state.group ? JSON.parse(state.group) : [];
    const passes = (i) => (state.label === "" || scene.labels[i] === Number(state.label)) && (!column || scene.groups[column][i] === value) && FILTERS[state.filter][1](i, views);
    order = scene.ids.map((_, i) => i).filter(passes);
    if (state.sort === "name") order.sort((a, b) => scene.ids[a].localeCompare(scene.ids[b], "en", { numeric: true }));
    if (state.sort === "smallest" || state.sort === "largest") {
      const key = new Map(order.map((i) => [i, smallest(i)]));
      order.sort((a, b) => (key.get(a) === key.get(b) ? a - b : (key.get(a) < key.get(b) ? -1 : 1) * (state.sort === "largest" ? -1 : 1)));
    }
    list.replaceChildren(...order.map((i) => items[i]));
    if (order.length && !order.includes(state.image)) state.image = order[0];
    open();
  }

  function open() {
    const views = order.length ? shown() : [];
    const name = scene.classes[scene.labels[state.image]];
    heading.textContent = order.length ? scene.ids[state.image] + ": " + (name === undefined ? "class " + scene.labels[state.image] : name) : "No sample fits.";
    panels = views.map((view) => panel(scene, view, state.image, source, go));
    detail.replaceChildren(...panels.map((one) => one.node));
    order.forEach((i) => items[i].firstChild.setAttribute("aria-current", String(i === state.image)));
    update();
    if (!scene.pictures) window.setTimeout(fetchAhead, 30);
  }

  function fetchAhead() { // every step of this sample, so that the slider waits for nothing
    shown().forEach((view) => scene.steps.forEach((_, step) => ["photo", "difference"].forEach((kind) => {
      const address = step || kind === "photo" ? source(view, kind, step, state.image) : null;
      if (address) new Image().src = address;
    })));
  }

  function update() {
    Object.entries(picks).forEach(([name, node]) => { node.value = String(state[name]); });
    slider.value = state.step;
    opacity.value = state.opacity;
    output.textContent = scene.steps[state.step];
    slider.setAttribute("aria-valuetext", scene.steps[state.step]);
    legend.style.backgroundImage = gradient(state.colours);
    [picks.target, opacity, picks.colours].forEach((node) => { node.parentNode.hidden = !state.map; });
    legend.hidden = !state.map;
    panels.forEach((one) => one.update(state));
    const views = shown();
    order.forEach((i) => items[i].classList.toggle("wrong", views.some((view) => wrong(view, state.step, i))));
    count.textContent = order.length + " of " + scene.ids.length + " samples. At " + scene.axis + " = " + scene.steps[state.step] + ": " + views.map((view) => {
      const right = (step) => view.predictions[step].filter((p, i) => p !== null && p === scene.labels[i]).length;
      return view.name + " classifies " + right(state.step) + " of " + view.predictions[0].filter((p) => p !== null).length + " correctly (clean: " + right(0) + ")";
    }).join("; ") + ".";
    const address = "#view?" + new URLSearchParams({ task: scene.key, image: scene.ids[state.image], step: scene.epsilons[state.step], map: state.map, class: state.target, opacity: state.opacity, colours: state.colours, filter: state.filter, label: state.label, group: state.group, sort: state.sort, models: JSON.stringify(state.models) });
    link.setAttribute("href", address);
    if (touched) history.replaceState(null, "", address);
  }

  function go(step) {
    state.step = Math.max(0, Math.min(scene.steps.length - 1, step));
    update();
    window.clearTimeout(waiting);
    if (["fooled", "missed", "alarm", "disagree"].includes(state.filter)) waiting = window.setTimeout(arrange, 150); // not while the slider moves
  }

  function move(by) {
    if (!order.length) return;
    state.image = order[Math.max(0, Math.min(order.length - 1, order.indexOf(state.image) + by))];
    open();
    items[state.image].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // What an address asks for; what it names that is not there is left as it is.
  function asked() {
    if (!location.hash.startsWith("#view?")) return null;
    const found = new URLSearchParams(location.hash.slice(6));
    const place = Math.max(0, scenes.findIndex((one) => one.key === found.get("task")));
    return [place, (one) => {
      const wanted = {};
      const names = { filter: FILTERS, sort: SORTS, colours: COLOURS };
      Object.entries(names).forEach(([name, known]) => { if (Object.keys(known).includes(found.get(name))) wanted[name] = found.get(name); });
      if (one.ids.includes(found.get("image"))) wanted.image = one.ids.indexOf(found.get("image"));
      const step = one.epsilons.findIndex((value) => Math.abs(value - Number(found.get("step"))) <= 0.005 * value);
      if (found.get("step") !== null && (step > 0 || Number(found.get("step")) === 0)) wanted.step = Math.max(step, 0);
      if (found.get("map") !== null) wanted.map = found.get("map");
      if (found.get("class") !== null) wanted.target = found.get("class") === "1" ? 1 : 0;
      if (found.get("opacity") !== null) wanted.opacity = Math.min(100, Math.max(0, Number(found.get("opacity")) || 0));
      if (found.get("label") in one.classes) wanted.label = found.get("label");
      if ([...picks.group.options].some((each) => each.value === found.get("group"))) wanted.group = found.get("group");
      try { wanted.models = one.views.map((view) => view.name).filter((name) => JSON.parse(found.get("models")).includes(name)); } catch { /* not a list: all stay */ }
      if (!(wanted.models || []).length) delete wanted.models;
      return wanted;
    }];
  }

  function start() {
    const wanted = asked();
    begin(...(wanted || [0])).then(() => {
      root.dataset.ready = "yes";
      if (wanted) root.scrollIntoView();
    });
  }

  (root.closest(".v-alone") ? document : root).addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, input")) return;
    const next = (name) => { picks[name].selectedIndex = (picks[name].selectedIndex + 1) % picks[name].length; picks[name].dispatchEvent(new Event("change")); };
    const action = { ArrowLeft: () => go(state.step - 1), ArrowRight: () => go(state.step + 1), ArrowUp: () => move(-1), ArrowDown: () => move(1), m: () => next("map"), c: () => next("target") }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  ["input", "change", "click", "keydown"].forEach((name) => root.addEventListener(name, () => { touched = true; }, true));
  window.addEventListener("hashchange", start);
  start();
}
document.querySelectorAll(".viewer").forEach(palpateViewer);
