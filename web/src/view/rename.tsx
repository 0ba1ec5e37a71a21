// A field for the name of a chat. What comes first counts: Enter, Escape, or leaving the field.
import { useLayoutEffect, useRef } from "preact/hooks";

import { rename, report } from "../lib/state";

interface Props {
  id: string;
  title: string;
  label: string;
  done: () => void;
}

export function Rename({ id, title, label, done }: Props) {
  const field = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  const finish = (name: string) => {
    if (over.current) return;
    over.current = true;
    done();
    if (name && name !== title) rename(id, name).catch(report);
  };
  return (
    <input
      ref={field}
      class="rename"
      aria-label={label}
      defaultValue={title}
      maxLength={100}
      onBlur={(e) => finish(e.currentTarget.value.trim())}
      onKeyDown={(e) => {
        if (e.key === "Enter" && !e.isComposing) finish(e.currentTarget.value.trim());
        if (e.key === "Escape") {
          e.stopPropagation();
          finish("");
        }
      }}
    />
  );
}
