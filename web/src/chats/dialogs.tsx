/** Dialogs that start a chat. */
import { useState } from 'react';
import { useCoterie } from 'coterie/react';
import type { Profile } from 'coterie';
import { fieldErrors } from '../app/errors.js';
import { account, useMe } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { Picker } from '../people/Picker.js';
import { t } from '../strings.js';
import { Button } from '../ui/Button.js';
import { Dialog } from '../ui/Dialog.js';
import { Field } from '../ui/Field.js';
import { attempt, show, tell } from '../ui/overlays.js';
import { FormError, useForm } from '../ui/parts.js';

interface Props {
  close: () => void;
}

export const newDirect = (): void => show(close => <NewDirect close={close} />);
export const createGroup = (): void => show(close => <NewGroup close={close} />);
export const createRoom = (): void => show(close => <NewRoom close={close} />);
export const createChannel = (): void => show(close => <NewChannel close={close} />);
export const joinRoom = (roomId?: number): void => show(close => <JoinRoom close={close} roomId={roomId} />);

/** Opens the chat with somebody, or the dialog that begins it with a message. */
export async function openDirect(c: ReturnType<typeof useCoterie>, person: Pick<Profile, 'userId' | 'name'>): Promise<void> {
  await attempt(async () => {
    const room = await c.direct(person.userId).find();
    if (room) go(hrefs.room(room.id));
    else show(close => <FirstMessage close={close} person={person} />);
  });
}

function NewDirect({ close }: Props) {
  const c = useCoterie();
  const [chosen, setChosen] = useState<Profile[]>([]);
  const onChange = ([person]: Profile[]) => {
    setChosen(person ? [person] : []);
    if (!person) return;
    close();
    void openDirect(c, person);
  };
  return (
    <Dialog title={t.direct.title} onClose={close}>
      <Picker chosen={chosen} onChange={onChange} single autoFocus />
    </Dialog>
  );
}

function FirstMessage({ close, person }: Props & { person: Pick<Profile, 'userId' | 'name'> }) {
  const c = useCoterie();
  const [text, setText] = useState('');
  const { busy, failure, onSubmit } = useForm(async () => {
    const room = await c.direct(person.userId).send(text);
    close();
    go(hrefs.room(room.id));
  });
  return (
    <Dialog title={person.name} onClose={close} className="small">
      <form onSubmit={onSubmit}>
        <Field label={t.direct.first} value={text} onChange={setText} required autoFocus maxLength={8000} autoComplete="off" error={fieldErrors(failure)['content']} />
        <FormError failure={failure} fields={['content']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" icon="send" busy={busy}>{t.direct.send}</Button></div>
      </form>
    </Dialog>
  );
}

function NewGroup({ close }: Props) {
  const c = useCoterie();
  const [name, setName] = useState('');
  const [chosen, setChosen] = useState<Profile[]>([]);
  const { busy, failure, onSubmit } = useForm(async () => {
    const { group } = await c.api('post', '/groups', { body: { name, members: chosen.map(({ userId }) => userId) } });
    close();
    go(hrefs.room(group.id));
  });
  return (
    <Dialog title={t.group.title} onClose={close}>
      <form onSubmit={onSubmit}>
        <Field label={t.group.name} value={name} onChange={setName} required autoFocus maxLength={100} autoComplete="off" error={fieldErrors(failure)['name']} />
        <h3>{t.group.members}</h3>
        <Picker chosen={chosen} onChange={setChosen} />
        <FormError failure={failure} fields={['name']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy}>{t.group.create}</Button></div>
      </form>
    </Dialog>
  );
}

function NewRoom({ close }: Props) {
  const c = useCoterie();
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const { busy, failure, onSubmit } = useForm(async () => {
    const { room } = await c.api('post', '/api/chatrooms', { body: { name: name.trim() || null, password } });
    await c.refresh();
    close();
    go(hrefs.room(room.id));
  });
  const errors = fieldErrors(failure);
  return (
    <Dialog title={t.primeRoom.title} onClose={close} className="small">
      <form onSubmit={onSubmit}>
        <p className="hint">{t.primeRoom.seats}</p>
        <Field label={t.primeRoom.name} hint={t.primeRoom.nameHint} value={name} onChange={setName} required={false} maxLength={100} autoComplete="off" error={errors['name']} />
        <Field label={t.primeRoom.password} hint={t.primeRoom.passwordHint} type="password" value={password} onChange={setPassword} required minLength={8} autoComplete="off" error={errors['password']} />
        <FormError failure={failure} fields={['name', 'password']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy}>{t.primeRoom.create}</Button></div>
      </form>
    </Dialog>
  );
}

function NewChannel({ close }: Props) {
  const c = useCoterie();
  const [name, setName] = useState('');
  const { busy, failure, onSubmit } = useForm(async () => {
    const { chatRoom } = await c.api('post', '/api/chat', { body: { name } });
    await c.refresh();
    close();
    go(hrefs.room(chatRoom.id));
  });
  return (
    <Dialog title={t.channels.create} onClose={close} className="small">
      <form onSubmit={onSubmit}>
        <Field label={t.channels.name} value={name} onChange={setName} required maxLength={100} autoFocus autoComplete="off" error={fieldErrors(failure)['name']} />
        <FormError failure={failure} fields={['name']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy}>{t.channels.submit}</Button></div>
      </form>
    </Dialog>
  );
}

function JoinRoom({ close, roomId }: Props & { roomId: number | undefined }) {
  const c = useCoterie();
  const me = useMe();
  const [number, setNumber] = useState(roomId ? String(roomId) : '');
  const [password, setPassword] = useState('');
  const { busy, failure, onSubmit } = useForm(async () => {
    const joined = await c.api('post', '/api/joinroom', { body: { roomId: Number(number), password } });
    close();
    enteredRoom(joined);
  });
  const errors = fieldErrors(failure);
  return (
    <Dialog title={t.join.title} onClose={close} className="small">
      <form onSubmit={onSubmit}>
        <p className="hint">{me.prime ? t.join.free : t.join.price(me.availCoins)}</p>
        <Field label={t.join.number} hint={t.join.numberHint} inputMode="numeric" pattern="[0-9]+" value={number} onChange={setNumber} required autoComplete="off" error={errors['roomId']} />
        <Field label={t.join.password} type="password" value={password} onChange={setPassword} required autoComplete="off" error={errors['password']} />
        <FormError failure={failure} fields={['roomId', 'password']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy}>{t.join.submit}</Button></div>
      </form>
    </Dialog>
  );
}

interface Joined {
  room: { id: number };
  charged: number;
  availCoins: number;
  alreadyMember: boolean;
}

/** Opens a room that the user has just joined, and says what it cost. */
export function enteredRoom({ room, charged, availCoins, alreadyMember }: Joined): void {
  if (!alreadyMember) tell(charged ? t.join.charged(charged, availCoins) : t.join.joined);
  void account.changed();
  go(hrefs.room(room.id));
}

/** Joins a channel, and opens it. */
export async function joinChannel(c: ReturnType<typeof useCoterie>, roomId: number): Promise<void> {
  await attempt(async () => enteredRoom(await c.api('post', '/api/joinroom', { body: { roomId } })));
}
