/** Tags as chips, typed in logfmt: `http.status_code=500 model="resnet 50"`. */
import { useState } from 'react';
import { CloseIcon } from '../widgets/icons';
import { formatTag, parseTags, type Tag } from './tags';

interface TagFieldProps {
  tags: Tag[];
  onChange: (tags: Tag[]) => void;
}

export function TagField({ tags, onChange }: TagFieldProps) {
  const [typed, setTyped] = useState('');
  const { rest } = parseTags(typed);
  const commit = () => {
    const parsed = parseTags(typed);
    if (parsed.tags.length > 0) onChange([...tags, ...parsed.tags]);
    setTyped(parsed.rest);
  };
  return (
    <div className="field tag-field">
      <label className="field-label" htmlFor="tag-input">
        Tags
      </label>
      <div className="input tag-box">
        {tags.map((tag, index) => (
          // Equal tags may stand twice; their place tells them apart.
          // oxlint-disable-next-line react/no-array-index-key
          <span className="tag-chip code" key={`${index} ${formatTag(tag)}`}>
            <span className="ellipsis">{formatTag(tag)}</span>
            <button
              type="button"
              aria-label={`Remove tag ${formatTag(tag)}`}
              onClick={() => onChange(tags.filter((_, at) => at !== index))}
            >
              <CloseIcon />
            </button>
          </span>
        ))}
        <input
          id="tag-input"
          value={typed}
          placeholder={tags.length === 0 ? 'key=value other="two words"' : ''}
          aria-invalid={rest !== '' && rest.includes('=')}
          onChange={(event) => setTyped(event.target.value)}
          onBlur={commit}
          onKeyDown={(event) => {
            if (event.key === 'Enter') commit();
            if (event.key === 'Backspace' && typed === '' && tags.length > 0) {
              onChange(tags.slice(0, -1));
            }
          }}
        />
      </div>
    </div>
  );
}
