"use strict";
/* What a report does: theme, which closures are shown, sorted tables, and profiles in time. */
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

  /* Theme: that of the system until the button is pressed; remembered where pages may remember. */
  function themes(button) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const root = document.documentElement;
    const show = (theme) => {
      root.dataset.theme = theme;
      button.textContent = theme === "dark" ? "Light" : "Dark";
    };
    const remember = (theme) => {
      try { localStorage.setItem("theme", theme); } catch { /* pages of files may not */ }
    };
    let stored = null;
    try { stored = localStorage.getItem("theme"); } catch { /* as above */ }
    show(stored ?? (dark.matches ? "dark" : "light"));
    dark.addEventListener("change", () => show(dark.matches ? "dark" : "light"));
    button.addEventListener("click", () => {
      show(root.dataset.theme === "dark" ? "light" : "dark");
      remember(root.dataset.theme);
    });
  }

  /* Toggles: what is drawn or said of a closure has the class closure-KEY, and goes with it.
     A double click shows one closure alone, and again all of them. */
  function toggles(boxes, changed) {
    const rules = document.head.appendChild(document.createElement("style"));
    const hidden = new Set();
    const update = () => {
      hidden.clear();
      boxes.filter((box) => !box.checked).forEach((box) => hidden.add(box.value));
      const classes = [...hidden].map((key) => `main .closure-${key}`);
      rules.textContent = classes.length ? `${classes.join(", ")} { display: none; }` : "";
      changed();
    };
    for (const box of boxes) {
      box.addEventListener("change", update);
      box.parentElement.addEventListener("dblclick", () => {
        const alone = boxes.every((other) => other.checked === (other === box));
        boxes.forEach((other) => { other.checked = alone || other === box; });
        update();
      });
    }
    return hidden;
  }

  /* Tables: a click on a heading sorts the rows of each body; a body's own heading stays first. */
  function sortable(table) {
    const headings = $$("thead th", table);
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        for (const body of table.tBodies) sortBody(body, column, down ? -1 : 1);
      });
    });
  }

  function sortBody(body, column, sign) {
    const rows = $$("tr", body).filter((row) => !$("th[colspan]", row));
    const key = (row) => {
      const cell = row.cells[column];
      const text = (cell.dataset.value ?? cell.textContent).trim();
      const number = Number.parseFloat(text.replace("−", "-"));
      return Number.isNaN(number) ? text : number;
    };
    const compare = (a, b) => {
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      /* Words, such as a dash for nothing, come after numbers whichever way these are sorted. */
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * a.localeCompare(b);
    };
    rows.map((row) => [key(row), row]).sort(([a], [b]) => compare(a, b))
      .forEach(([, row]) => body.append(row));
  }

  /* Profiles in time. */
  const FIELDS = [
    ["ρ", "density", (s) => s.density],
    ["ρu", "momentum", (s, i) => s.density[i] * s.velocity[i]],
    ["E", "energy", (s, i, D) => 0.5 * s.density[i] * (s.velocity[i] ** 2 + D * s.temperature[i])],
    ["T", "temperature", (s) => s.temperature],
    ["q", "heat flux", (s) => s.heat_flux],
  ];
  const REFERENCE = "kinetic";
  const SVG = "http" + "://www.w3.org/2000/svg";
  const MARGIN = { left: 46, right: 8, top: 6, bottom: 20 };

  function decode(text) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  /* The fields of a case as arrays over times and cells: name -> closure -> times -> values. */
  function unpack(record) {
    const cells = record.x.length;
    const fields = FIELDS.map(() => ({}));
    for (const [closure, packed] of Object.entries(record.solutions)) {
      const state = Object.fromEntries(Object.entries(packed).map(([q, text]) => [q, decode(text)]));
      FIELDS.forEach(([, , value], f) => {
        const whole = value.length === 1
          ? value(state)
          : state.density.map((_, i) => value(state, i, record.dimension));
        const count = whole.length / cells;
        fields[f][closure] = Array.from({ length: count }, (_, t) =>
          whole.subarray(t * cells, (t + 1) * cells));
      });
    }
    return { ...record, fields, varies: record.knudsen.some((eps) => eps !== record.knudsen[0]) };
  }

  function node(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent?.append(made);
    return made;
  }

  /* Multiples of 1, 2 or 5 powers of ten between two values. */
  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const first = Math.ceil(low / step);
    const length = Math.floor(high / step) - first + 1;
    return Array.from({ length }, (_, i) => (first + i) * step);
  }

  const plain = (value) => (Math.abs(value) < 1e-12 ? "0" : Number(value.toPrecision(3)).toString());

  /* A tick with as many digits as tell it from its neighbours. */
  function written(value, step, largest) {
    if (Math.abs(value) < 1e-12) return "0";
    const last = Math.floor(Math.log10(step) + 1e-9);
    if (largest >= 0.01) return value.toFixed(Math.max(0, -last)).replace("-", "−");
    const first = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
    return value.toExponential(Math.max(0, first - last)).replaceAll("-", "−");
  }

  function extent(series) {
    let [low, high] = [Infinity, -Infinity];
    for (const values of series) for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return [low, high];
  }

  /* What a panel spans over all times: the reference, or else all that is shown, and what others
     need up to half of that beyond; or, of differences, the largest of the closures shown. */
  function range(series, closures, difference) {
    const drawn = closures.filter((closure) => series[closure]);
    const all = extent((drawn.length ? drawn : Object.keys(series)).flatMap((closure) => series[closure]));
    if (!Number.isFinite(all[0])) return [-1, 1];
    if (difference) {
      const most = Math.max(Math.abs(all[0]), Math.abs(all[1])) || 1;
      return [-1.08 * most, 1.08 * most];
    }
    const [low, high] = series[REFERENCE] ? extent(series[REFERENCE]) : all;
    const room = high - low || Math.abs(high) || 1;
    const bottom = Math.max(all[0], low - 0.5 * room);
    const top = Math.min(all[1], high + 0.5 * room);
    const pad = 0.06 * (top - bottom || room);
    return [Math.min(bottom, low) - pad, Math.max(top, high) + pad];
  }

  function lessReference(series) {
    const reference = series[REFERENCE];
    const rest = Object.entries(series).filter(([closure]) => closure !== REFERENCE);
    return Object.fromEntries(rest.map(([closure, times]) =>
      [closure, times.map((values, t) => values.map((value, i) => value - reference[t][i]))]));
  }

  function norm(values) {
    return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  }

  /* Mean relative L2 error of density, momentum and energy at a time, as the tables have it. */
  function error(view, closure, t) {
    const each = view.fields.slice(0, 3).map((series) => {
      const [own, reference] = [series[closure]?.[t], series[REFERENCE][t]];
      return own && norm(own.map((value, i) => value - reference[i])) / norm(reference);
    });
    return each.every((value) => value !== undefined) ? (each[0] + each[1] + each[2]) / 3 : null;
  }

  function path(x, values, map) {
    let text = "";
    let pen = "M";
    values.forEach((value, i) => {
      if (!Number.isFinite(value)) { pen = "M"; return; }
      text += `${pen}${map.x(x[i]).toFixed(1)} ${map.y(value).toFixed(1)}`;
      pen = "L";
    });
    return text;
  }

  function viewer(box, data, hidden) {
    const [panels, select, slider, clock, play, scores] =
      [".panels", "select", "input[type=range]", "output", ".player button", ".scores"]
        .map((selector) => $(selector, box));
    const modes = $$(".segmented button", box);
    const tip = box.appendChild(document.createElement("div"));
    tip.className = "tip";
    tip.hidden = true;
    let view = null;
    let mode = "fields";
    let timer = null;

    const names = () => Object.keys(view.solutions);
    const shown = () => names().filter((closure) => !hidden.has(data.looks[closure].key));
    const swatch = ({ color, dash, key }) => {
      const style = dash ? (dash.split(" ")[0] > 3 ? "dashed" : "dotted") : "solid";
      const stroke = key === REFERENCE ? "var(--reference)" : color;
      return `<span class="swatch" style="border-color:${stroke};border-top-style:${style}"></span>`;
    };

    function choose(index) {
      view = unpack(data.cases[index]);
      slider.max = view.times.length - 1;
      slider.value = slider.max;
      const compared = Boolean(view.solutions[REFERENCE]) && names().length > 1;
      modes.slice(1).forEach((one) => { one.disabled = !compared; });
      if (!compared) mode = "fields";
      draw();
    }

    function draw() {
      const t = Number(slider.value);
      clock.textContent = `t = ${plain(view.times[t])}`;
      slider.setAttribute("aria-valuetext", clock.textContent);
      modes.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.mode === mode)));
      const difference = mode === "difference";
      const series = difference ? view.fields.map(lessReference) : view.fields;
      panels.replaceChildren(...FIELDS.map(([symbol, name], f) =>
        panel(difference ? `Δ${symbol}` : symbol, name, series[f], t, difference)));
      if (view.varies) {
        const logarithm = { [REFERENCE]: [view.knudsen.map(Math.log10)] };
        panels.append(panel("log₁₀ ε", "Knudsen number", logarithm, 0, false));
      }
      tell(t);
    }

    function tell(t) {
      scores.replaceChildren();
      const compared = view.solutions[REFERENCE];
      for (const closure of names()) {
        const look = data.looks[closure];
        const item = document.createElement("li");
        item.className = `closure-${look.key}`;
        item.innerHTML = `${swatch(look)}<span></span><b></b>`;
        $("span:not(.swatch)", item).textContent = look.label;
        $("b", item).textContent = score(closure, t, compared);
        scores.append(item);
      }
    }

    function score(closure, t, compared) {
      if (view.fields[0][closure][t] === undefined) {
        const when = view.failed[closure];
        return when === null ? "failed" : `failed at t = ${plain(when)}`;
      }
      if (closure === REFERENCE || !compared) return "";
      const percent = 100 * error(view, closure, t);
      /* Float32 holds seven digits: an error below them is none. */
      return percent < 1e-4 ? "0 %" : `${Number(percent.toPrecision(2))} %`;
    }

    function panel(symbol, name, series, t, difference) {
      const made = document.createElement("div");
      made.className = "panel";
      const title = made.appendChild(document.createElement("h4"));
      title.textContent = `${symbol} `;
      title.appendChild(document.createElement("span")).textContent = name;
      const width = Math.max(200, panels.clientWidth / columns() - 16);
      const height = matchMedia("(max-width: 40rem)").matches ? 152 : 184;
      const label = `${name} over x${difference ? ", less the reference" : ""}`;
      const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, made);
      const [low, high] = range(series, shown(), difference);
      const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
      const map = {
        x: (x) => MARGIN.left + x * inner.width,
        y: (y) => MARGIN.top + (1 - (y - low) / (high - low)) * inner.height,
      };
      axes(svg, map, low, high, width);
      const clip = node("svg", { x: MARGIN.left, y: MARGIN.top, width: inner.width, height: inner.height,
        viewBox: `${MARGIN.left} ${MARGIN.top} ${inner.width} ${inner.height}` }, svg);
      for (const [closure, times] of Object.entries(series)) curve(clip, closure, times[t], map);
      const cursor = node("line", { class: "cursor", y1: MARGIN.top, y2: height - MARGIN.bottom, visibility: "hidden" }, svg);
      svg.addEventListener("pointermove", (event) => point(event, svg, series, t, width, cursor, map));
      svg.addEventListener("pointerleave", () => {
        tip.hidden = true;
        cursor.setAttribute("visibility", "hidden");
      });
      return made;
    }

    function columns() {
      return getComputedStyle(panels).gridTemplateColumns.split(" ").length;
    }

    function axes(svg, map, low, high, width) {
      const values = ticks(low, high, 5);
      const largest = Math.max(Math.abs(low), Math.abs(high));
      for (const value of values) {
        const y = map.y(value);
        const kind = Math.abs(value) < 1e-12 ? "zero" : "rule";
        node("line", { class: kind, x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }, svg);
        node("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, svg).textContent =
          written(value, values[1] - values[0], largest);
      }
      for (const [x, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
        const y = map.y(low) + 15;
        node("text", { x: map.x(x), y, "text-anchor": anchor }, svg).textContent = x === 0.5 ? "x = 0.5" : x;
      }
    }

    function curve(parent, closure, values, map) {
      if (!values || hidden.has(data.looks[closure].key)) return;
      const { key, color, width, dash } = data.looks[closure];
      const stroke = key === REFERENCE ? "var(--reference)" : color;
      const attributes = { class: `curve closure-${key}`, d: path(view.x, values, map),
        style: `stroke: ${stroke}; stroke-width: ${1.25 * width}` };
      if (dash) attributes["stroke-dasharray"] = dash;
      node("path", attributes, parent);
    }

    function point(event, svg, series, t, width, cursor, map) {
      const frame = svg.getBoundingClientRect();
      const at = ((event.clientX - frame.left) * width / frame.width - MARGIN.left)
        / (width - MARGIN.left - MARGIN.right);
      const cell = Math.min(view.x.length - 1, Math.max(0, Math.round(at * view.x.length - 0.5)));
      const place = map.x(view.x[cell]);
      for (const [name, value] of [["x1", place], ["x2", place], ["visibility", "visible"]]) cursor.setAttribute(name, value);
      tip.replaceChildren(`x = ${plain(view.x[cell])}`);
      for (const closure of shown()) {
        const value = series[closure]?.[t]?.[cell];
        if (value === undefined) continue;
        const row = tip.appendChild(document.createElement("div"));
        row.innerHTML = `${swatch(data.looks[closure])}<b></b>`;
        $("b", row).textContent = Number(value.toPrecision(4));
      }
      tip.hidden = false;
      const area = box.getBoundingClientRect();
      const left = Math.min(event.clientX - area.left + 14, area.width - tip.offsetWidth - 4);
      tip.style.left = `${left}px`;
      tip.style.top = `${event.clientY - area.top + 14}px`;
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "▶";
      play.setAttribute("aria-label", "Play");
    }

    function start() {
      timer = setInterval(() => {
        slider.value = Number(slider.value) === Number(slider.max) ? 0 : Number(slider.value) + 1;
        draw();
      }, 350);
      play.textContent = "❚❚";
      play.setAttribute("aria-label", "Pause");
    }

    play.addEventListener("click", () => (timer === null ? start() : stop()));
    slider.addEventListener("input", () => { stop(); draw(); });
    select.addEventListener("change", () => choose(select.selectedIndex));
    modes.forEach((one) => one.addEventListener("click", () => { mode = one.dataset.mode; draw(); }));
    let before = 0;
    new ResizeObserver(() => {
      if (panels.clientWidth !== before) { before = panels.clientWidth; draw(); }
    }).observe(panels);
    choose(0);
    return draw;
  }

  let redraw = () => {};
  const button = $(".theme");
  button.hidden = false;
  themes(button);
  const hidden = toggles($$(".toggles input"), () => redraw());
  $$("table.sortable").forEach(sortable);
  const data = $("#profiles");
  if (data) redraw = viewer($(".viewer"), JSON.parse(data.textContent), hidden);
})();
