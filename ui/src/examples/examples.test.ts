import { describe, expect, it } from 'vitest';
import { endpointUrl, trainingProgram } from './examples';

describe('the training program', () => {
  it('sends to the server that shows it', () => {
    const text = trainingProgram('http://127.0.0.1:9999');
    expect(text).toContain('otlp_endpoint="http://127.0.0.1:9999"');
    expect(text).not.toContain('4318');
  });
});

describe('the address for programs', () => {
  it('is where the server listens', () => {
    expect(endpointUrl('127.0.0.1:4318', 'localhost')).toBe('http://127.0.0.1:4318');
    expect(endpointUrl('http://lab:4318', 'localhost')).toBe('http://lab:4318');
  });
  it('names the host of the page where the server listens everywhere', () => {
    expect(endpointUrl('0.0.0.0:4318', 'lab-7')).toBe('http://lab-7:4318');
    expect(endpointUrl('[::]:4318', 'lab-7')).toBe('http://lab-7:4318');
  });
});
