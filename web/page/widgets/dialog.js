/**
 * Opens a dialog above the page, or in it where the browser knows no modal dialogs.
 *
 * @param {HTMLDialogElement} dialog
 */
export function openDialog(dialog) {
  if (typeof dialog.showModal === 'function') {
    if (!dialog.open) dialog.showModal();
    return;
  }
  dialog.setAttribute('open', '');
  dialog.classList.add('in-page');
}

/** @param {HTMLDialogElement} dialog */
export function closeDialog(dialog) {
  if (typeof dialog.close === 'function') return dialog.close();
  dialog.removeAttribute('open');
  dialog.dispatchEvent(new Event('close'));
}

/**
 * Calls back once a dialog is closed. The browser's event comes later; it is ignored if the dialog is open again.
 *
 * @param {HTMLDialogElement} dialog
 * @param {() => void} closed
 */
export function onClosed(dialog, closed) {
  dialog.addEventListener('close', () => {
    if (!dialog.open) closed();
  });
}
