import { invalid } from './errors.ts';

/** containerd's rules for what clients may call things, in its words (pkg/identifiers, pkg/labels). */

const MAX_IDENTIFIER = 76;
const IDENTIFIER = /^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$/;
/** Bytes of a label's key and value together. */
const MAX_LABEL = 4096;
/** How much of an overlong key a message shows. */
const SHOWN_KEY = 64;

/**
 * Throws invalid-argument unless `text` may name a namespace, container, exec process or part of an event topic. What
 * passes is safe as one component of a path. `what` goes before the message (`container.ID`).
 */
export function checkIdentifier(text: string, what = ''): void {
  const before = what === '' ? '' : `${what}: `;
  if (text === '') throw invalid(`${before}identifier must not be empty: invalid argument`);
  if (Buffer.byteLength(text) > MAX_IDENTIFIER) {
    throw invalid(
      `${before}identifier ${JSON.stringify(text)} greater than maximum length (${MAX_IDENTIFIER} characters): ` +
        `invalid argument`,
    );
  }
  if (!IDENTIFIER.test(text)) {
    throw invalid(`${before}identifier ${JSON.stringify(text)} must match ${IDENTIFIER.source}: invalid argument`);
  }
}

/** Throws invalid-argument when a label is too large. `what` goes before the message (`image.Labels`). */
export function checkLabels(labels: Readonly<Record<string, string>>, what: string): void {
  for (const [key, value] of Object.entries(labels)) {
    const total = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (total > MAX_LABEL) {
      throw invalid(
        `${what}: label key and value length (${total} bytes) greater than maximum size (${MAX_LABEL} bytes), ` +
          `key: ${key.slice(0, SHOWN_KEY)}: invalid argument`,
      );
    }
  }
}
