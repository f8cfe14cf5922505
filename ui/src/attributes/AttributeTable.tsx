/** Attributes by key, each with its type and a way to copy it. Values are text and stay text. */
import { memo, useMemo, useState } from 'react';
import type { Attribute } from '../api/contract';
import { formatCount } from '../format/number';
import { CopyButton } from '../widgets/CopyButton';
import { findAttributes, prettyJson, valueText } from './attribute_text';
import './attributes.css';

/** Lists longer than this get a field to search them. */
const SEARCH_FROM = 6;
/** Longer values are cut until the reader asks. */
const SHOWN_CHARS = 600;

interface TableProps {
  attributes: Attribute[];
  searchable?: boolean;
}

export function AttributeTable({ attributes, searchable = false }: TableProps) {
  const [text, setText] = useState('');
  const found = useMemo(() => findAttributes(attributes, text), [attributes, text]);
  if (attributes.length === 0) return <p className="panel-note faint">None.</p>;
  return (
    <>
      {searchable && attributes.length >= SEARCH_FROM && (
        <input
          className="input attribute-search"
          type="search"
          aria-label="Search attributes"
          placeholder={`Search ${formatCount(attributes.length)} attributes`}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      )}
      <table className="attributes">
        <tbody>
          {found.map((attribute, index) => (
            // Keys may stand twice in bad data; both are shown.
            // oxlint-disable-next-line react/no-array-index-key
            <AttributeRow key={`${attribute.key} ${index}`} attribute={attribute} />
          ))}
        </tbody>
      </table>
      {found.length === 0 && <p className="panel-note faint">No attribute matches.</p>}
    </>
  );
}

const AttributeRow = memo(function AttributeRow({ attribute }: { attribute: Attribute }) {
  const [isWhole, setIsWhole] = useState(false);
  const raw = valueText(attribute);
  const text = attribute.type === 'string' ? (prettyJson(raw) ?? raw) : raw;
  const isCut = !isWhole && text.length > SHOWN_CHARS;
  return (
    <tr>
      <th scope="row" title={`${attribute.key} (${attribute.type})`}>
        {attribute.key}
      </th>
      <td>
        <span className={`value code ${attribute.type}`}>
          {isCut ? `${text.slice(0, SHOWN_CHARS)}…` : text || '""'}
        </span>
        {isCut && (
          <button type="button" className="button small" onClick={() => setIsWhole(true)}>
            Show all {formatCount(text.length)} characters
          </button>
        )}
      </td>
      <td>
        <CopyButton text={raw} label={`Copy the value of ${attribute.key}`} />
      </td>
    </tr>
  );
});
