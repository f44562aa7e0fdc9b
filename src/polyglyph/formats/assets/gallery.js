// Opens a card's model in the dialog: click or Enter; left and right arrows between models; Escape closes.
const dialog = document.querySelector('dialog');
const viewer = dialog.querySelector('model-viewer');
const heading = dialog.querySelector('h2');
const caption = dialog.querySelector('footer span');
const save = dialog.querySelector('a');
const cards = [...document.querySelectorAll('button.card')];
const addresses = new Map();
let shown = 0;

function address(id) {
  if (!addresses.has(id)) {
    const text = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(text, character => character.charCodeAt(0));
    addresses.set(id, URL.createObjectURL(new Blob([bytes], { type: 'model/gltf-binary' })));
  }
  return addresses.get(id);
}

function show(index) {
  shown = (index + cards.length) % cards.length;
  const card = cards[shown];
  const name = card.querySelector('.name').textContent;
  heading.textContent = name;
  caption.textContent = card.querySelector('.caption')?.textContent ?? '';
  viewer.alt = `3D model: ${name}`;
  viewer.src = address(card.dataset.model);
  viewer.autoRotate = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  save.href = viewer.src;
  save.download = `${name.replace(/[^\p{L}\p{N}._-]+/gu, '_')}.glb`;
  if (!dialog.open) dialog.showModal();
}

cards.forEach((card, index) => card.addEventListener('click', () => show(index)));
dialog.querySelector('[data-step="-1"]').addEventListener('click', () => show(shown - 1));
dialog.querySelector('[data-step="1"]').addEventListener('click', () => show(shown + 1));
dialog.querySelector('[data-close]').addEventListener('click', () => dialog.close());
dialog.addEventListener('close', () => cards[shown].focus());
dialog.addEventListener('keydown', event => {
  if (event.target === viewer) return; // there the arrows turn the model
  if (event.key === 'ArrowLeft') show(shown - 1);
  if (event.key === 'ArrowRight') show(shown + 1);
});
