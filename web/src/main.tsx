import { StrictMode } from 'react';
import { render } from 'preact';
import { CoterieProvider } from 'coterie/react';
import { App } from './app/App.js';
import { client } from './app/client.js';
import { startNotifications } from './app/notifications.js';
import { followTheme } from './app/preferences.js';
import './styles/tokens.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/room.css';

followTheme();
startNotifications();
render(
  <StrictMode>
    <CoterieProvider client={client}>
      <App />
    </CoterieProvider>
  </StrictMode>,
  document.getElementById('app')!,
);
