import { useEffect, useRef, useState } from 'react';
import { useCoterie, useObservable } from 'coterie/react';
import type { Failure, OwnProfile, components } from 'coterie';
import { uploadAvatar } from '../app/avatars.js';
import { failureOf, fieldErrors } from '../app/errors.js';
import { allowNotifications } from '../app/notifications.js';
import { account, learn, useMe } from '../app/people.js';
import { notify, theme } from '../app/preferences.js';
import type { Theme } from '../app/preferences.js';
import { go, hrefs } from '../app/router.js';
import { Resource } from '../app/store.js';
import { dateAndTime, day } from '../app/time.js';
import { client } from '../app/client.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { Button } from '../ui/Button.js';
import { Field, Select, Switch } from '../ui/Field.js';
import { Icon } from '../ui/Icon.js';
import { ask, attempt, tell } from '../ui/overlays.js';
import { Empty, Failed, FormError, Spinner, Tabs, useForm } from '../ui/parts.js';

const tabs = ['profile', 'account', 'devices', 'coins', 'appearance'] as const;
type Tab = (typeof tabs)[number];

export function SettingsPage({ tab }: { tab: string | undefined }) {
  const current = tabs.find(name => name === tab) ?? 'profile';
  const parts = { profile: ProfileTab, account: AccountTab, devices: DevicesTab, coins: CoinsTab, appearance: AppearanceTab };
  const Part = parts[current];
  return (
    <div className="page">
      <h1>{t.settings.title}</h1>
      <Tabs<Tab> label={t.settings.tabList} tabs={tabs.map(name => [name, t.settings.tabs[name]] as const)} tab={current} onTab={name => go(hrefs.settingsTab(name))}>
        <Part />
      </Tabs>
    </div>
  );
}

function ProfileTab() {
  const c = useCoterie();
  const me = useMe();
  const input = useRef<HTMLInputElement>(null);
  const [name, setName] = useState(me.name);
  const [username, setUsername] = useState(me.username ?? '');
  const [email, setEmail] = useState(me.email ?? '');
  const [phone, setPhone] = useState(me.phone ?? '');
  const { busy, failure, onSubmit } = useForm(async () => {
    const changed = (text: string, old: string | null) => (text.trim() === (old ?? '') ? undefined : text.trim() || null);
    await save({ name, username: changed(username, me.username), email: changed(email, me.email), phone: changed(phone, me.phone) });
    tell(t.saved);
  });
  const save = async (body: components['schemas']['ProfileChange']) => {
    const profile = await c.api('patch', '/api/profile', { body });
    learn({ ...profile, friendship: null });
    await account.changed();
  };
  const picture = (file: File | undefined) => file && attempt(async () => {
    await uploadAvatar(c, '/api/profile/avatar', file);
    await account.changed();
  });
  const removePicture = () => attempt(async () => {
    await c.api('delete', '/api/profile/avatar');
    await account.changed();
  });
  const errors = fieldErrors(failure);
  return (
    <>
      <div className="own-picture">
        <PersonAvatar userId={me.userId} name={me.name} size={96} presence={false} />
        <div>
          <Button icon="image" onClick={() => input.current!.click()}>{t.settings.changePicture}</Button>
          {me.avatarUrl && <Button kind="quiet" icon="trash" onClick={() => void removePicture()}>{t.settings.removePicture}</Button>}
          <input ref={input} type="file" hidden accept="image/png,image/jpeg,image/webp" aria-label={t.settings.changePicture} onChange={event => void picture(event.currentTarget.files?.[0])} />
        </div>
      </div>
      <form onSubmit={onSubmit} className="narrow">
        <Field label={t.settings.name} value={name} onChange={setName} required maxLength={100} autoComplete="name" error={errors['name']} />
        <Field label={t.settings.username} hint={t.settings.usernameHint} value={username} onChange={setUsername} required={false} maxLength={64} autoComplete="off" error={errors['username']} />
        <Field label={t.settings.email} type="email" value={email} onChange={setEmail} required={false} autoComplete="email" error={errors['email']} />
        <Field label={t.settings.phone} type="tel" value={phone} onChange={setPhone} required={false} autoComplete="tel" error={errors['phone']} />
        <FormError failure={failure} fields={['name', 'username', 'email', 'phone']} />
        <Button kind="primary" type="submit" busy={busy}>{t.save}</Button>
      </form>
    </>
  );
}

const ownSettings = new Resource(() => client.api('get', '/api/settings'), ['settingsUpdated']);

function AccountTab() {
  const c = useCoterie();
  const me = useMe();
  const settings = useObservable(ownSettings);
  const [joinCode, setJoinCode] = useState<string>();
  const change = (showPresence: boolean) => attempt(async () => {
    await c.api('patch', '/api/settings', { body: { showPresence } });
    await ownSettings.changed();
  });
  const renew = () => attempt(async () => setJoinCode((await c.api('post', '/api/organization/join-code')).joinCode));
  return (
    <>
      <dl className="facts">
        <dt>{t.settings.userId}</dt><dd>{me.userId}</dd>
        <dt>{t.settings.organization}</dt><dd>{me.organization.name}{me.role !== 'user' && ` · ${t.people.roles[me.role]}`}</dd>
      </dl>
      {me.role === 'admin' && me.organization.id !== 1 && (
        <section className="narrow">
          <Button icon="link" onClick={() => void renew()}>{t.settings.joinCode}</Button>
          <p className="hint">{t.settings.joinCodeHint}</p>
          {joinCode && <p><code className="code">{joinCode}</code></p>}
        </section>
      )}
      <section className="narrow">
        <h2>{t.settings.privacy}</h2>
        <Select
          label={t.settings.addableBy}
          value={me.addableBy}
          options={Object.entries(t.settings.addable) as [OwnProfile['addableBy'], string][]}
          onChange={addableBy => void attempt(async () => {
            await c.api('patch', '/api/profile', { body: { addableBy } });
            await account.changed();
          })}
        />
        {settings.data && <Switch label={t.settings.showPresence} hint={t.settings.showPresenceHint} on={settings.data.showPresence} onChange={on => void change(on)} />}
        {settings.failure && <Failed failure={settings.failure} retry={() => void ownSettings.changed()} />}
      </section>
      <PasswordForm userId={me.userId} />
    </>
  );
}

function PasswordForm({ userId }: { userId: string }) {
  const c = useCoterie();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const { busy, failure, onSubmit } = useForm(async () => {
    await c.api('patch', '/api/profile', { body: { password: next, currentPassword: current } });
    setCurrent('');
    setNext('');
    tell(t.settings.passwordChanged);
  });
  const errors = fieldErrors(failure);
  return (
    <section className="narrow">
      <h2>{t.settings.password}</h2>
      <form onSubmit={onSubmit}>
        <input type="text" hidden readOnly autoComplete="username" value={userId} aria-hidden="true" />
        <Field label={t.settings.currentPassword} type="password" value={current} onChange={setCurrent} required autoComplete="current-password" error={errors['currentPassword']} />
        <Field label={t.settings.newPassword} hint={t.auth.passwordHint} type="password" value={next} onChange={setNext} required minLength={8} autoComplete="new-password" error={errors['password']} />
        <FormError failure={failure} fields={['password', 'currentPassword']} />
        <Button type="submit" busy={busy}>{t.settings.changePassword}</Button>
      </form>
    </section>
  );
}

const sessions = new Resource(async () => (await client.api('get', '/api/auth/sessions')).sessions);

function DevicesTab() {
  const c = useCoterie();
  const { data, failure } = useObservable(sessions);
  useEffect(() => void sessions.changed(), []);
  const revoke = (sessionId: string) => attempt(async () => {
    await c.api('delete', '/api/auth/sessions/{sessionId}', { path: { sessionId } });
    await sessions.changed();
  });
  const signOut = async (everywhere: boolean) => {
    if (everywhere && !(await ask(t.settings.signOutAsk, t.settings.signOutAll, t.settings.signOutHint))) return;
    try {
      await c.signOut({ everywhere });
    } catch {
      tell(t.settings.signOutFailed, true);
    }
  };
  return (
    <>
      <p className="hint">{t.settings.devicesHint}</p>
      {failure && !data && <Failed failure={failure} retry={() => void sessions.changed()} />}
      {!data && !failure && <Spinner />}
      <ul className="cards">
        {data?.map(({ sessionId, deviceId, createdAt, current }) => (
          <li className="card-row" key={sessionId}>
            <span className="avatar square size-44 hue-5" aria-hidden="true"><Icon name="device" /></span>
            <span className="option-text">
              <span>{deviceId ?? t.settings.device}{current && <span className="tag online">{t.settings.thisDevice}</span>}</span>
              <span className="hint">{t.settings.since(dateAndTime(createdAt))}</span>
            </span>
            {!current && <Button aria-label={`${t.settings.signOutDevice}: ${deviceId ?? t.settings.device}`} onClick={() => void revoke(sessionId)}>{t.settings.signOutDevice}</Button>}
          </li>
        ))}
      </ul>
      <div className="button-row">
        <Button icon="exit" onClick={() => void signOut(false)}>{t.settings.signOut}</Button>
        <Button kind="danger" icon="exit" onClick={() => void signOut(true)}>{t.settings.signOutAll}</Button>
      </div>
    </>
  );
}

type Entry = components['schemas']['LedgerEntry'];

function CoinsTab() {
  const c = useCoterie();
  const me = useMe();
  const [ledger, setLedger] = useState<Entry[]>();
  const [page, setPage] = useState(1);
  const [pages, setPages] = useState(1);
  const [failure, setFailure] = useState<Failure>();
  const [round, setRound] = useState(0);
  useEffect(() => void account.changed(), []);
  useEffect(() => {
    let isOver = false;
    c.api('get', '/api/coins', { query: { page, pageSize: 30 } }).then(
      list => {
        if (isOver) return;
        setFailure(undefined);
        setPages(list.pages);
        setLedger(old => [...(page > 1 && old ? old : []), ...list.data]);
      },
      (error: unknown) => !isOver && setFailure(failureOf(error)),
    );
    return () => {
      isOver = true;
    };
  }, [c, page, round]);
  return (
    <>
      <p className="balance"><Icon name="coin" size={28} /> {t.settings.balance(me.availCoins)}</p>
      <p className="hint">{me.prime ? t.join.free : t.join.price(me.availCoins)}</p>
      <h2>{t.settings.ledger}</h2>
      {failure && <Failed failure={failure} retry={() => setRound(round + 1)} />}
      {!ledger && !failure && <Spinner />}
      {ledger?.length === 0 && <Empty icon="coin" title={t.settings.noLedger} />}
      <ul className="cards">
        {ledger?.map(({ delta, balanceAfter, reason, createdAt }, index) => (
          <li className="card-row" key={index}>
            <span className="option-text"><span>{t.settings.reasons[reason] ?? reason}</span><span className="hint">{day(createdAt)} · {t.settings.after(balanceAfter)}</span></span>
            <strong className={delta > 0 ? 'gain' : 'loss'}>{delta > 0 ? `+${delta}` : delta}</strong>
          </li>
        ))}
      </ul>
      {page < pages && <Button kind="quiet" onClick={() => setPage(page + 1)}>{t.people.more}</Button>}
    </>
  );
}

function AppearanceTab() {
  const chosen = useObservable(theme);
  const notifies = useObservable(notify);
  const [isDenied, setDenied] = useState('Notification' in window && Notification.permission === 'denied');
  const turn = async (on: boolean) => {
    if (on && !(await allowNotifications())) return setDenied(true);
    setDenied(false);
    notify.choose(on ? 'on' : 'off');
  };
  return (
    <>
      <section className="narrow">
        <h2>{t.settings.appearance}</h2>
        <Select label={t.settings.theme} value={chosen} options={Object.entries(t.settings.themes) as [Theme, string][]} onChange={next => theme.choose(next)} />
      </section>
      <section className="narrow">
        <h2>{t.settings.notifications}</h2>
        {'Notification' in window ? (
          <Switch label={t.settings.notify} hint={t.settings.notifyHint} on={notifies === 'on' && Notification.permission === 'granted'} onChange={on => void turn(on)} />
        ) : (
          <p className="hint">{t.settings.notifyAbsent}</p>
        )}
        {isDenied && <p className="error" role="alert">{t.settings.notifyDenied}</p>}
      </section>
    </>
  );
}
