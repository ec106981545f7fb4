import { network } from './errors.js';

interface Question {
  resolve(data: unknown): void;
  reject(error: unknown): void;
  timer: ReturnType<typeof setTimeout>;
}

/** Questions that wait for their answers, each for a time. */
export class Questions {
  #open = new Map<string, Question>();

  /** Waits for the answer to `id`; after `patience` milliseconds it calls `late`, and fails. */
  ask<T>(id: string, patience: number, late?: () => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.answer(id, undefined, network());
        late?.();
      }, patience);
      this.#open.set(id, { resolve: resolve, reject, timer });
    });
  }

  /** Resolves the promise of a question, or rejects it with `error`. Returns false if nobody waits for it. */
  answer(id: string | undefined, data: unknown, error?: unknown): boolean {
    const question = this.#open.get(id!);
    if (!question) return false;
    this.#open.delete(id!);
    clearTimeout(question.timer);
    if (error) question.reject(error);
    else question.resolve(data);
    return true;
  }

  /** Nobody will answer any more. */
  drop(): void {
    for (const id of [...this.#open.keys()]) this.answer(id, undefined, network());
  }
}
