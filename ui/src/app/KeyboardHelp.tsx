/** The dialog that lists every key. */
import { Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';
import { CloseIcon } from '../widgets/icons';

const GROUPS: { title: string; keys: [string[], string][] }[] = [
  {
    title: 'Everywhere',
    keys: [
      [['?'], 'This help'],
      [['/'], 'Search or find'],
      [['Esc'], 'Close or leave'],
    ],
  },
  {
    title: 'Lists',
    keys: [
      [['j', 'k'], 'Next, previous'],
      [['Enter'], 'Open'],
      [['n'], 'Show new traces'],
    ],
  },
  {
    title: 'Waterfall: tree',
    keys: [
      [['↑', '↓'], 'Move'],
      [['→', '←'], 'Expand, collapse or go to parent'],
      [['Enter'], 'Show details'],
      [['Home', 'End'], 'First, last'],
      [['[', ']'], 'Collapse, expand all'],
      [['e'], 'Errors only'],
    ],
  },
  {
    title: 'Waterfall: time',
    keys: [
      [['w', 's'], 'Zoom in, out'],
      [['a', 'd'], 'Move left, right'],
      [['f'], 'Fit to the span'],
      [['0'], 'Whole trace'],
    ],
  },
];

export function KeyboardHelp({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <ModalOverlay
      className="modal-overlay"
      isDismissable
      isOpen={open}
      onOpenChange={(isOpen) => {
        if (!isOpen) onClose();
      }}
    >
      <Modal>
        <Dialog className="modal">
          <div style={{ display: 'flex', justifyContent: 'space-between' }}>
            <Heading slot="title" style={{ fontSize: 16 }}>
              Keyboard
            </Heading>
            <button
              type="button"
              className="button icon small quiet"
              aria-label="Close"
              onClick={onClose}
            >
              <CloseIcon />
            </button>
          </div>
          <div className="help-columns">
            {GROUPS.map((group) => (
              <section key={group.title}>
                <h3>{group.title}</h3>
                {group.keys.map(([keys, meaning]) => (
                  <div className="help-row" key={meaning}>
                    <span>{meaning}</span>
                    <span>
                      {keys.map((key) => (
                        <kbd key={key}>{key}</kbd>
                      ))}
                    </span>
                  </div>
                ))}
              </section>
            ))}
          </div>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
