import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { shouldRetry } from './api/queries';
import { router } from './app/router';
import { applyTheme } from './app/theme';
import './style/tokens.css';
import './style/base.css';
import './style/widgets.css';

applyTheme();

const queryClient = new QueryClient({
  defaultOptions: { queries: { retry: shouldRetry, staleTime: 1_000 } },
});

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no element with the id "root"');
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
