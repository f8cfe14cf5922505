/** Choosing from names: one to type into, one to open, one to see all at once. */
import {
  Button,
  ComboBox,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Select,
  SelectValue,
  ToggleButton,
  ToggleButtonGroup,
} from 'react-aria-components';
import type { ReactNode } from 'react';
import { ChevronIcon } from './icons';

export interface Choice {
  id: string;
  label: string;
  mark?: ReactNode;
  note?: string;
}

function ChoiceItem({ choice }: { choice: Choice }) {
  return (
    <ListBoxItem id={choice.id} textValue={choice.label} className="listbox-item">
      {choice.mark}
      <span className="ellipsis">{choice.label}</span>
      {choice.note && <span className="faint">{choice.note}</span>}
    </ListBoxItem>
  );
}

interface ComboProps {
  label: string;
  placeholder: string;
  choices: Choice[];
  value: string;
  onChange: (value: string) => void;
  disabled?: boolean;
}

/** A text field with suggestions. Text that is no suggestion counts too, on Enter or when left. */
export function Combo({ label, placeholder, choices, value, onChange, disabled }: ComboProps) {
  return (
    <ComboBox
      // A value that changes from outside (URL, "clear") starts the field anew.
      key={value}
      className="field"
      allowsCustomValue
      // Suggestions that arrive after the first letters still appear.
      allowsEmptyCollection
      menuTrigger="focus"
      isDisabled={disabled ?? false}
      defaultItems={choices}
      defaultInputValue={value}
      onSelectionChange={(id) => {
        if (id !== null) onChange(String(id));
      }}
      onBlur={(event) => {
        if (event.target instanceof HTMLInputElement && event.target.value !== value) {
          onChange(event.target.value.trim());
        }
      }}
    >
      <Label className="field-label">{label}</Label>
      <div className="combobox-box">
        <Input
          className="input"
          placeholder={placeholder}
          onKeyDown={(event) => {
            const text = event.currentTarget.value.trim();
            const chosen = event.currentTarget.getAttribute('aria-activedescendant');
            if (event.key === 'Enter' && !chosen && text !== value) onChange(text);
          }}
        />
        <Button>
          <ChevronIcon />
        </Button>
      </div>
      <Popover className="popover" offset={4}>
        <ListBox
          className="listbox"
          renderEmptyState={() => <div className="listbox-empty">No match</div>}
        >
          {(choice: Choice) => <ChoiceItem choice={choice} />}
        </ListBox>
      </Popover>
    </ComboBox>
  );
}

interface PickProps {
  label: string;
  choices: Choice[];
  value: string;
  onChange: (value: string) => void;
}

/** A button that opens a list. */
export function Pick({ label, choices, value, onChange }: PickProps) {
  return (
    <Select
      className="field"
      selectedKey={value}
      onSelectionChange={(id) => {
        if (id !== null) onChange(String(id));
      }}
    >
      <Label className="field-label">{label}</Label>
      <Button className="button select-button">
        <SelectValue />
        <ChevronIcon />
      </Button>
      <Popover className="popover" offset={4}>
        <ListBox className="listbox" items={choices}>
          {(choice: Choice) => <ChoiceItem choice={choice} />}
        </ListBox>
      </Popover>
    </Select>
  );
}

/** Few choices side by side, exactly one of them on. */
export function Segments({ label, choices, value, onChange }: PickProps) {
  return (
    <ToggleButtonGroup
      className="segments"
      aria-label={label}
      selectionMode="single"
      disallowEmptySelection
      selectedKeys={[value]}
      onSelectionChange={(keys) => {
        const [key] = keys;
        if (key !== undefined) onChange(String(key));
      }}
    >
      {choices.map((choice) => (
        <ToggleButton key={choice.id} id={choice.id} className="segment">
          {choice.mark}
          {choice.label}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}
