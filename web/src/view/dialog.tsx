import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

import { IconButton } from "./icons";

interface Props {
  title: string;
  side?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}

/** A dialog over the page; the browser keeps the focus inside and gives it back. */
export function Dialog({ title, side, onClose, children }: Props) {
  const box = useRef<HTMLDialogElement>(null);
  const name = useId();
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    box.current?.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog
      ref={box}
      class={side ? "side" : ""}
      aria-labelledby={name}
      onClose={onClose}
      onClick={(e) => e.target === box.current && onClose()}
    >
      <div class="dialog-head">
        <h2 id={name}>{title}</h2>
        <IconButton icon="close" label="Close" onClick={onClose} />
      </div>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

interface Question {
  what: string;
  close: () => void;
  remove: () => void;
  children: ComponentChildren;
}

/** Asks before something is deleted; the children say what will be gone. */
export function AskToDelete({ what, close, remove, children }: Question) {
  return (
    <Dialog title={`Delete this ${what}?`} onClose={close}>
      <p>{children}</p>
      <div class="row">
        <button type="button" class="button" onClick={close}>
          Keep it
        </button>
        <button
          type="button"
          class="button danger"
          onClick={() => {
            close();
            remove();
          }}
        >
          Delete
        </button>
      </div>
    </Dialog>
  );
}
