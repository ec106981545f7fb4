import { useState } from 'react';
import { useCoterie } from 'coterie/react';
import { sessionEnded } from '../app/session.js';
import { deviceName } from './device.js';
import { fieldErrors } from '../app/errors.js';
import { t } from '../strings.js';
import { Button } from '../ui/Button.js';
import { Field, Switch } from '../ui/Field.js';
import { tell } from '../ui/overlays.js';
import { FormError, useForm } from '../ui/parts.js';

/** What people see who are not signed in. */
export function AuthPage() {
  const [isNew, setNew] = useState(false);
  const [wasSignedOut] = useState(sessionEnded);
  return (
    <main className="auth">
      <div className="auth-card">
        <img src="./favicon.svg" alt="" width="56" height="56" />
        <h1>{isNew ? t.auth.register : t.auth.welcome}</h1>
        <p className="tagline">{wasSignedOut && !isNew ? t.auth.signedOut : t.auth.tagline}</p>
        {isNew ? <Register /> : <SignIn />}
        <p className="auth-switch">
          {isNew ? t.auth.hasAccount : t.auth.noAccount}{' '}
          <button type="button" className="link" onClick={() => setNew(!isNew)}>{isNew ? t.auth.signIn : t.auth.register}</button>
        </p>
      </div>
    </main>
  );
}

function SignIn() {
  const c = useCoterie();
  const [identifier, setIdentifier] = useState('');
  const [password, setPassword] = useState('');
  const { busy, failure, onSubmit } = useForm(() => c.signIn({ identifier: identifier.trim(), password, deviceId: deviceName() }));
  const errors = fieldErrors(failure);
  return (
    <form onSubmit={onSubmit}>
      <Field label={t.auth.identifier} value={identifier} onChange={setIdentifier} autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus error={errors['identifier']} />
      <Field label={t.auth.password} type="password" value={password} onChange={setPassword} autoComplete="current-password" required error={errors['password']} />
      <FormError failure={failure} fields={['identifier', 'password']} />
      <Button kind="primary" type="submit" busy={busy}>{t.auth.signIn}</Button>
    </form>
  );
}

function Register() {
  const c = useCoterie();
  const [name, setName] = useState('');
  const [userId, setUserId] = useState('');
  const [password, setPassword] = useState('');
  const [organizationName, setOrganization] = useState('');
  const [joinCode, setJoinCode] = useState('');
  const [email, setEmail] = useState('');
  const [phone, setPhone] = useState('');
  const [isPrime, setPrime] = useState(false);
  const { busy, failure, onSubmit } = useForm(async () => {
    const given = (text: string) => text.trim() || null;
    const { prime, role } = await c.register({
      userId: given(userId),
      name: given(name),
      password,
      organizationName: given(organizationName),
      joinCode: given(joinCode),
      email: given(email),
      phone: given(phone),
      deviceId: deviceName(),
      ...(isPrime ? { isPrime } : {}),
    });
    if (isPrime && !prime) tell(t.errors.plain.prime_required, true);
    if (role === 'admin') tell(t.auth.founded);
  });
  const errors = fieldErrors(failure);
  return (
    <form onSubmit={onSubmit}>
      <Field label={t.auth.name} hint={t.auth.nameHint} value={name} onChange={setName} autoComplete="name" required autoFocus maxLength={100} error={errors['name']} />
      <Field label={t.auth.userId} hint={t.auth.userIdHint} value={userId} onChange={setUserId} autoComplete="username" autoCapitalize="none" spellCheck={false} required maxLength={64} error={errors['userId']} />
      <Field label={t.auth.password} hint={t.auth.passwordHint} type="password" value={password} onChange={setPassword} autoComplete="new-password" required minLength={8} error={errors['password']} />
      <details>
        <summary>{t.auth.organization}</summary>
        <Field label={t.auth.organizationName} hint={t.auth.organizationHint} value={organizationName} onChange={setOrganization} required={false} maxLength={100} autoComplete="organization" error={errors['organizationName']} />
        <Field label={t.auth.joinCode} hint={t.auth.joinCodeHint} value={joinCode} onChange={setJoinCode} required={false} autoComplete="off" spellCheck={false} error={errors['joinCode']} />
        <Field label={t.auth.email} type="email" value={email} onChange={setEmail} required={false} autoComplete="email" error={errors['email']} />
        <Field label={t.auth.phone} hint={t.auth.phoneHint} type="tel" value={phone} onChange={setPhone} required={false} autoComplete="tel" error={errors['phone']} />
        <Switch label={t.auth.prime} on={isPrime} onChange={setPrime} />
      </details>
      <FormError failure={failure} fields={['name', 'userId', 'password', 'organizationName', 'joinCode', 'email', 'phone']} />
      <Button kind="primary" type="submit" busy={busy}>{t.auth.register}</Button>
    </form>
  );
}
