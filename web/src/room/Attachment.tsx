import { useEffect, useMemo, useState } from 'react';
import { useCoterie } from 'coterie/react';
import type { Attachment as Sent, Coterie, Shown } from 'coterie';
import { bytes } from '../app/util.js';
import { t } from '../strings.js';
import { Button } from '../ui/Button.js';
import { Dialog } from '../ui/Dialog.js';
import { Icon } from '../ui/Icon.js';
import { attempt, show } from '../ui/overlays.js';

/** Fetches a file and lets the browser save it. */
export const download = (c: Coterie, attachment: Sent): Promise<boolean> =>
  attempt(async () => {
    const link = document.createElement('a');
    link.href = await c.fileUrl(attachment);
    link.download = attachment.fileName;
    link.rel = 'noopener';
    link.click();
  });

/** The address of a file under way, as long as it is shown. */
export function useBlobUrl(file: Blob | undefined): string | undefined {
  const url = useMemo(() => (file ? URL.createObjectURL(file) : undefined), [file]);
  useEffect(() => () => {
    if (url) URL.revokeObjectURL(url);
  }, [url]);
  return url;
}

/** The address of a file that was sent, once the service has told it. */
function useFileUrl(attachment: Sent, width?: number) {
  const c = useCoterie();
  const [url, setUrl] = useState<string>();
  const [isLost, setLost] = useState(false);
  useEffect(() => {
    let isOver = false;
    setLost(false);
    c.fileUrl(attachment, { width }).then(
      found => !isOver && setUrl(found),
      () => !isOver && setLost(true),
    );
    return () => {
      isOver = true;
    };
    // A change of the message makes a new object of the same file.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [c, attachment.uploadId, width]);
  return { url, isLost, lose: () => setLost(true) };
}

export function Attachment({ message }: { message: Shown }) {
  if (message.attachment) {
    return message.attachment.type.startsWith('image/') ? <Picture attachment={message.attachment} /> : <File attachment={message.attachment} />;
  }
  return message.file ? <UnderWay message={message} file={message.file} /> : null;
}

/** How large a picture is shown, within this square. */
function box({ width, height }: { width: number | null; height: number | null }): { width: number; height: number } {
  if (!width || !height) return { width: 240, height: 180 };
  const scale = Math.min(1, 320 / width, 320 / height);
  return { width: Math.max(48, Math.round(width * scale)), height: Math.max(48, Math.round(height * scale)) };
}

function Picture({ attachment }: { attachment: Sent }) {
  const { url, isLost, lose } = useFileUrl(attachment, 480);
  const { width, height } = box(attachment);
  return (
    <button
      type="button"
      className="picture"
      style={{ width: `${width}px`, aspectRatio: `${width} / ${height}` }}
      aria-label={t.file.open(attachment.fileName)}
      onClick={() => show(close => <Viewer attachment={attachment} close={close} />)}
    >
      {isLost ? <span className="lost"><Icon name="image" />{t.file.failed}</span> : url && <img src={url} alt={t.file.image(attachment.fileName)} width={width} height={height} onError={lose} />}
    </button>
  );
}

function Viewer({ attachment, close }: { attachment: Sent; close: () => void }) {
  const c = useCoterie();
  const { url, isLost, lose } = useFileUrl(attachment);
  return (
    <Dialog title={attachment.fileName} onClose={close} className="viewer">
      {isLost ? <p className="error">{t.file.failed}</p> : url && <img src={url} alt={t.file.image(attachment.fileName)} onError={lose} />}
      <div className="dialog-actions">
        <Button icon="download" onClick={() => void download(c, attachment)}>{t.file.download(attachment.fileName)}</Button>
      </div>
    </Dialog>
  );
}

function File({ attachment }: { attachment: Sent }) {
  const c = useCoterie();
  return (
    <button type="button" className="file" aria-label={t.file.download(attachment.fileName)} onClick={() => void download(c, attachment)}>
      <Icon name="file" size={28} />
      <span className="file-text">
        <span className="file-name">{attachment.fileName}</span>
        <span className="file-size">{bytes(attachment.size)}</span>
      </span>
      <Icon name="download" size={18} />
    </button>
  );
}

function UnderWay({ message, file }: { message: Shown; file: Blob }) {
  const url = useBlobUrl(file.type.startsWith('image/') ? file : undefined);
  const { fileName } = message as { fileName?: string };
  const percent = Math.round((message.progress ?? 0) * 100);
  return (
    <div className="under-way">
      {url ? <img src={url} alt={t.file.image(fileName ?? '')} /> : <div className="file"><Icon name="file" size={28} /><span className="file-text"><span className="file-name">{fileName}</span><span className="file-size">{bytes(file.size)}</span></span></div>}
      {message.status !== 'failed' && <progress max={100} value={percent} aria-label={percent ? t.file.progress(percent) : t.file.waiting} />}
    </div>
  );
}
