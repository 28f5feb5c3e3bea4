"use strict";
(() => {
  const data = JSON.parse(document.getElementById("feature-data").textContent);
  const column = Object.fromEntries(data.names.map((name, i) => [name, data.columns[i] ?? []]));
  const total = (column.feature ?? []).length;
  const table = document.getElementById("table-features");
  const seeds = [...new Set(column.seed ?? [])].sort((a, b) => a - b);
  const others = seeds.map((_, i) => i).filter((i) => `cosine_${i}` in column);
  const heads = [
    ["arm", "arm"], ["seed", "seed"], ["feature", "feature"], ["alive", "alive"], ["reappearance", "reappears in"],
    ["frequency", "fires"], ["explained_variance", "explained variance"], ["mean_activation", "mean activation"],
    ["own_neighbour", "own neighbour"], ...others.map((i) => [`cosine_${i}`, `match in seed ${seeds[i]}`]),
  ];
  const perPage = 40;
  const state = { sort: "alive", down: true, page: 0, rows: [] };
  const field = (id) => document.getElementById(id);
  const arm = field("filter-arm"), seed = field("filter-seed"), feature = field("filter-feature"), alive = field("filter-alive");

  const make = (tag, text, style) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (style) element.className = style;
    return element;
  };
  const show = (x) => {
    if (Number.isInteger(x)) return String(x);
    const size = Math.abs(x);
    const text = size < 0.0005 ? x.toExponential(1) : size < 100 ? x.toFixed(3) : x.toFixed(1);
    return text.replaceAll("-", "\u2212");
  };
  const fill = (select, values, all) => {
    select.append(new Option(all, ""));
    for (const value of values) select.append(new Option(String(value), String(value)));
  };

  const chosen = () => {
    const wanted = feature.value.trim();
    const rows = [];
    for (let i = 0; i < total; i += 1) {
      if (arm.value && String(column.arm[i]) !== arm.value) continue;
      if (seed.value && String(column.seed[i]) !== seed.value) continue;
      if (wanted && String(column.feature[i]) !== wanted) continue;
      if (alive.checked && !column.alive[i]) continue;
      rows.push(i);
    }
    return rows;
  };
  const compare = (a, b) => {
    const values = column[state.sort];
    const x = values[a], y = values[b];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const order = typeof x === "string" || typeof y === "string" ? String(x).localeCompare(String(y)) : x - y;
    return (state.down ? -order : order) || a - b;
  };

  const absent = (i) => (column.alive[i] ? "missing" : "dead");
  const matchCell = (i, other) => {
    const cell = make("td", undefined, "match");
    const cosine = column[`cosine_${other}`][i], partner = column[`partner_${other}`][i];
    if (column.seed[i] === seeds[other]) return make("td", "itself", "none");
    if (cosine === null) return make("td", partner === -1 && column.alive[i] ? "no partner" : absent(i), "none");
    cell.style.setProperty("--cosine", Math.max(0, cosine));
    const jump = make("button", `#${partner}`);
    jump.type = "button";
    jump.title = `Show feature ${partner} of seed ${seeds[other]}`;
    jump.addEventListener("click", () => {
      arm.value = String(column.arm[i]);
      seed.value = String(seeds[other]);
      feature.value = String(partner);
      update();
    });
    cell.append(jump, " ", show(cosine));
    return cell;
  };
  const numberCell = (name, i) => {
    const value = column[name]?.[i] ?? null;
    if (value === null) return make("td", absent(i), "none");
    const cell = make("td", name === "alive" ? (value ? "alive" : "dead") : typeof value === "string" ? value : show(value));
    if (name === "reappearance") {
      const bar = make("span", undefined, "bar");
      bar.style.setProperty("--share", value);
      cell.prepend(bar);
    }
    return cell;
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(state.rows.length / perPage));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const body = make("tbody");
    for (const i of state.rows.slice(state.page * perPage, (state.page + 1) * perPage)) {
      const row = make("tr", undefined, column.alive[i] ? "" : "dead");
      for (const [name] of heads) row.append(name.startsWith("cosine_") ? matchCell(i, Number(name.slice(7))) : numberCell(name, i));
      body.append(row);
    }
    table.tBodies[0].replaceWith(body);
    field("feature-count").textContent = `${state.rows.length} of ${total} features`;
    field("page-at").textContent = `page ${state.page + 1} of ${pages}`;
    field("page-back").disabled = state.page === 0;
    field("page-on").disabled = state.page === pages - 1;
  };
  const update = () => {
    state.rows = chosen().sort(compare);
    state.page = 0;
    for (const head of table.tHead.rows[0].cells) {
      const own = head.dataset.name === state.sort;
      head.setAttribute("aria-sort", own ? (state.down ? "descending" : "ascending") : "none");
    }
    draw();
  };
  const sortBy = (name) => {
    state.down = state.sort === name ? !state.down : typeof (column[name] ?? []).find((x) => x !== null) === "number";
    state.sort = name;
    update();
  };

  if (total) {
    fill(arm, [...new Set(column.arm)], "both");
    fill(seed, seeds, "all");
    const row = table.tHead.insertRow();
    for (const [name, label] of heads) {
      const head = make("th"), button = make("button", label);
      head.scope = "col";
      head.dataset.name = name;
      button.type = "button";
      button.addEventListener("click", () => sortBy(name));
      head.append(button);
      row.append(head);
    }
    const form = document.querySelector(".filters");
    form.addEventListener("input", update);
    form.addEventListener("reset", () => setTimeout(update));
    form.addEventListener("submit", (event) => event.preventDefault());
    field("page-back").addEventListener("click", () => { state.page -= 1; draw(); });
    field("page-on").addEventListener("click", () => { state.page += 1; draw(); });
    update();
    document.querySelector(".explorer").hidden = false;
  }
})();
