//! What the model learns to predict: one task per head, with its key, its kind and its metric.

use clap::ValueEnum;

/// One thing to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Task {
    /// Where the price stands at the horizon: down, flat or up.
    Direction,
    /// Whether volatility rises.
    Volatility,
    /// Where the price stands on average until the horizon: down, flat or up.
    Trend,
    /// Whether volatility falls, stays or rises.
    VolRegime,
    /// The shape of the next bar: doji, strong bull, strong bear, or hammer and other.
    CandlePattern,
    /// The log return over the horizon.
    Return,
    /// The close of the next bar.
    NextClose,
    /// The largest log return within the lookahead.
    MaxReturn,
    /// The k largest log returns within the lookahead.
    TopkReturns,
    /// The k highest closes within the lookahead.
    TopkPrices,
    /// Whether no close within the lookahead lies above the present one.
    SellNow,
}

/// How a task's output is read and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of so many classes: cross-entropy and accuracy.
    Classes(usize),
    /// So many numbers: mean squared error and RMSE.
    Regression(usize),
    /// Yes or no: binary cross-entropy with logits and accuracy.
    Binary,
}

impl Task {
    /// Every task, in the order of the heads.
    pub const ALL: [Task; 11] = [
        Task::Direction,
        Task::Volatility,
        Task::Trend,
        Task::VolRegime,
        Task::CandlePattern,
        Task::Return,
        Task::NextClose,
        Task::MaxReturn,
        Task::TopkReturns,
        Task::TopkPrices,
        Task::SellNow,
    ];

    /// The name of the head, as in the loss weights.
    pub const fn key(self) -> &'static str {
        match self {
            Task::Direction => "direction",
            Task::Volatility => "volatility",
            Task::Trend => "trend",
            Task::VolRegime => "vol_regime",
            Task::CandlePattern => "candle_pattern",
            Task::Return => "return",
            Task::NextClose => "next_close",
            Task::MaxReturn => "max_return",
            Task::TopkReturns => "topk_returns",
            Task::TopkPrices => "topk_prices",
            Task::SellNow => "sell_now",
        }
    }

    /// The name of its metric: an accuracy (`_acc`, higher is better) or an RMSE (lower is).
    pub const fn metric(self) -> &'static str {
        match self {
            Task::Direction => "dir_acc",
            Task::Volatility => "vol_acc",
            Task::Trend => "trend_acc",
            Task::VolRegime => "vol_regime_acc",
            Task::CandlePattern => "candle_acc",
            Task::Return => "ret_rmse",
            Task::NextClose => "close_rmse",
            Task::MaxReturn => "max_ret_rmse",
            Task::TopkReturns => "topk_ret_rmse",
            Task::TopkPrices => "topk_price_rmse",
            Task::SellNow => "sell_now_acc",
        }
    }

    /// How its output is read, with `top_k` numbers for the tasks that have k of them.
    pub const fn kind(self, top_k: usize) -> Kind {
        match self {
            Task::Direction | Task::Trend | Task::VolRegime => Kind::Classes(3),
            Task::Volatility => Kind::Classes(2),
            Task::CandlePattern => Kind::Classes(4),
            Task::Return | Task::NextClose | Task::MaxReturn => Kind::Regression(1),
            Task::TopkReturns | Task::TopkPrices => Kind::Regression(top_k),
            Task::SellNow => Kind::Binary,
        }
    }
}

impl Kind {
    /// How many numbers the head puts out.
    pub const fn outputs(self) -> usize {
        match self {
            Kind::Classes(count) | Kind::Regression(count) => count,
            Kind::Binary => 1,
        }
    }
}

/// A task with the kind that the settings give it: what one head of the model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it predicts.
    pub task: Task,
    /// How its output is read.
    pub kind: Kind,
}

/// The heads for `tasks`.
pub fn heads(tasks: &[Task], top_k: usize) -> Vec<Head> {
    tasks
        .iter()
        .map(|&task| Head {
            task,
            kind: task.kind(top_k),
        })
        .collect()
}

/// The tasks of a multi-task run: all, without `sell_now` unless it is asked for.
pub fn multitask(predict_sell_now: bool) -> Vec<Task> {
    Task::ALL
        .into_iter()
        .filter(|task| predict_sell_now || *task != Task::SellNow)
        .collect()
}
