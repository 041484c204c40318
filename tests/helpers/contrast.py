"""Contrast, computed in the browser: every text on its ground, and every mark of an explorer.

The ground is what lies behind a text: the backgrounds of its elements up to the first opaque one,
each blended with the next, and within a drawing the shapes drawn before it at that place. The
ratio is WCAG's: 4.5 for text, 3 for large text and for the marks of a drawing.
"""

MEASURE = """() => {
    // Any colour that CSS knows, as [red, green, blue, alpha]; the first three from 0 to 255.
    const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const known = new Map();
    function rgba(colour) {
        if (!known.has(colour)) {
            const plain = colour.match(/^rgba?\\(([\\d.]+), ([\\d.]+), ([\\d.]+)(?:, ([\\d.]+))?\\)$/);
            const mixed = colour.match(/^color\\(srgb ([\\d.e-]+) ([\\d.e-]+) ([\\d.e-]+)(?: \\/ ([\\d.e-]+))?\\)$/);
            if (plain) known.set(colour, [+plain[1], +plain[2], +plain[3], +(plain[4] ?? 1)]);
            else if (mixed) known.set(colour, [255 * mixed[1], 255 * mixed[2], 255 * mixed[3], +(mixed[4] ?? 1)]);
            else {
                pen.clearRect(0, 0, 1, 1);
                pen.fillStyle = colour;
                pen.fillRect(0, 0, 1, 1);
                const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
                known.set(colour, [r, g, b, a / 255]);
            }
        }
        return known.get(colour);
    }
    const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]);
    function luminance(colour) {
        const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }
    function ratio(a, b) {
        const [x, y] = [luminance(a), luminance(b)];
        return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    }
    const faded = ([r, g, b, a], by) => [r, g, b, a * by];
    // How opaque an element is with all that it stands in, up to `root`.
    function opacity(e, root) {
        let all = 1;
        for (; e && e !== root; e = e.parentElement) all *= Number(getComputedStyle(e).opacity);
        return all;
    }
    // The colour behind the contents of an element.
    function ground(e) {
        const layers = [];
        for (; e; e = e.parentElement) {
            const style = getComputedStyle(e), colour = rgba(style.backgroundColor);
            if (colour[3] > 0) layers.push(faded(colour, opacity(e)));
            if (colour[3] === 1) break;
        }
        return layers.reduceRight((under, layer) => over(layer, under), [255, 255, 255]);
    }
    // The colour behind a point of a drawing, before `mark` was drawn.
    function groundInDrawing(mark, x, y) {
        const svg = mark.ownerSVGElement, at = new DOMPoint(x, y);
        let colour = ground(svg);
        for (const e of svg.querySelectorAll("rect, circle, ellipse, path, polygon")) {
            if (!(e.compareDocumentPosition(mark) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
            const style = getComputedStyle(e);
            if (style.fill === "none" || !e.checkVisibility() || e.closest("defs, clipPath, marker")) continue;
            const box = e.getBoundingClientRect();
            if (x < box.left || x > box.right || y < box.top || y > box.bottom) continue;
            if (!e.isPointInFill(at.matrixTransform(e.getScreenCTM().inverse()))) continue;
            if (style.fill.startsWith("url")) continue;
            colour = over(faded(rgba(style.fill), style.fillOpacity * opacity(e, svg)), colour);
        }
        return colour;
    }
    const hidden = (e) => e.closest("mjx-assistive-mml, .visually-hidden, [hidden], button.copybtn, script, style") ||
        !e.checkVisibility({opacityProperty: true, visibilityProperty: true});
    const large = (style) => {
        const size = parseFloat(style.fontSize);
        return size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    };
    const faults = new Map(), counts = {texts: 0, marks: 0, least: 99};
    function judge(found, wanted, what) {
        counts.least = Math.min(counts.least, found / wanted);
        if (found < wanted) faults.set(what, Math.min(found, faults.get(what) ?? 99));
    }
    const told = (e) => {
        const at = e.closest("[data-widget]")?.dataset.widget;
        return `${at ? at + " " : ""}${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""}`;
    };

    function text(e, words, box) {
        counts.texts += 1;
        const style = getComputedStyle(e), drawn = e instanceof SVGElement;
        const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
        const behind = drawn && e.ownerSVGElement ? groundInDrawing(e, x, y) : ground(e);
        const ink = faded(rgba(drawn ? style.fill : style.color), opacity(e) * (drawn ? style.fillOpacity : 1));
        judge(ratio(over(ink, behind), behind), large(style) ? 3 : 4.5, `${told(e)} “${words.trim().slice(0, 40)}”`);
    }
    const article = document.querySelector(".bd-article");
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!node.data.trim() || hidden(node.parentElement)) continue;
        range.selectNodeContents(node);
        const box = range.getBoundingClientRect();
        if (box.width > 1 && box.height > 1) text(node.parentElement, node.data, box);
    }
    // Equations draw their letters without text nodes.
    for (const e of article.querySelectorAll("mjx-container")) {
        if (!hidden(e)) text(e, "an equation", e.getBoundingClientRect());
    }
    // Lines, dots and areas of the explorers; what is faint on purpose, grids and what lies beyond a
    // cursor, says nothing that is not said elsewhere; what is light lies under another, on a picture.
    const MARKS = ".mst-explorer svg :is(.mst-line, .mst-spike, .mst-dot, .mst-area, .mst-outline)" +
        ":not(.mst-faint, .mst-thin, .mst-grid, .mst-light)";
    for (const e of article.querySelectorAll(MARKS)) {
        if (!e.checkVisibility()) continue;
        counts.marks += 1;
        const style = getComputedStyle(e), behind = ground(e.ownerSVGElement), inks = [];
        if (style.stroke !== "none") inks.push(faded(rgba(style.stroke), style.strokeOpacity * opacity(e)));
        if (style.fill !== "none") inks.push(faded(rgba(style.fill), style.fillOpacity * opacity(e)));
        judge(Math.max(...inks.map(ink => ratio(over(ink, behind), behind))), 3, told(e));
    }
    return {...counts, faults: [...faults].map(([what, found]) => `${found.toFixed(2)} ${what}`)};
}"""  # noqa: E501
