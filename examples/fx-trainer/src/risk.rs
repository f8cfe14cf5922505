//! What the predicted directions would have earned, and the gate that keeps out of bad moments.

use crate::features::indicators::mean;

const DOWN: usize = 0;
const UP: usize = 2;

/// Takes no position when the market is wilder than usual or the model is unsure.
#[derive(Debug, Clone, Copy)]
pub struct RiskGate {
    /// The largest volatility of the last bars at which a position is taken.
    pub max_volatility: f64,
    /// The smallest probability of the predicted direction.
    pub min_confidence: f64,
}

impl RiskGate {
    /// Allows the calmer 95 % of what the training part has seen.
    pub fn from_training(mut volatilities: Vec<f64>) -> Self {
        volatilities.sort_by(f64::total_cmp);
        let place = (volatilities.len() as f64 * 0.95) as usize;
        let max_volatility = volatilities.get(place).copied().unwrap_or(f64::INFINITY);
        Self {
            max_volatility,
            min_confidence: 0.4,
        }
    }

    fn allows(&self, moment: &Moment) -> bool {
        moment.volatility <= self.max_volatility
            && moment.probabilities[moment.predicted()] >= self.min_confidence
    }
}

/// A window of the test: what was predicted, and what came.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The probabilities of down, flat and up.
    pub probabilities: [f64; 3],
    /// The volatility of the last bars.
    pub volatility: f64,
    /// The log return over the horizon.
    pub future_return: f64,
}

impl Moment {
    fn predicted(&self) -> usize {
        let ordered = |&one: &usize, &two: &usize| {
            self.probabilities[one].total_cmp(&self.probabilities[two])
        };
        (0..3).max_by(ordered).unwrap_or(DOWN)
    }
}

/// One unit long or short per window, held over the horizon; costs are not counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradingSummary {
    /// Positions taken.
    pub positions: usize,
    /// Positions that the gate kept out of.
    pub blocked: usize,
    /// The mean log return per position; 0 without any.
    pub mean_return: f64,
}

/// Takes the positions that the predictions suggest and the gate, if there is one, allows.
pub fn summarise_trading(moments: &[Moment], gate: Option<&RiskGate>) -> TradingSummary {
    let mut returns = Vec::new();
    let mut blocked = 0;
    for moment in moments {
        let side = match moment.predicted() {
            DOWN => -1.0,
            UP => 1.0,
            _ => continue,
        };
        if gate.is_none_or(|gate| gate.allows(moment)) {
            returns.push(side * moment.future_return);
        } else {
            blocked += 1;
        }
    }
    let mean_return = if returns.is_empty() {
        0.0
    } else {
        mean(&returns)
    };
    TradingSummary {
        positions: returns.len(),
        blocked,
        mean_return,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_prediction_and_the_gate_keeps_out_of_wild_or_unsure_moments() {
        let moment = |probabilities, volatility, future_return| Moment {
            probabilities,
            volatility,
            future_return,
        };
        let moments = [
            moment([0.1, 0.2, 0.7], 1.0, 0.02),
            moment([0.6, 0.2, 0.2], 1.0, 0.01),
            moment([0.1, 0.8, 0.1], 1.0, 9.0),
            moment([0.1, 0.2, 0.7], 9.0, -0.5),
            moment([0.3, 0.32, 0.38], 1.0, -0.5),
        ];
        let gate = RiskGate {
            max_volatility: 2.0,
            min_confidence: 0.4,
        };
        let gated = summarise_trading(&moments, Some(&gate));
        assert_eq!((gated.positions, gated.blocked), (2, 2));
        assert!((gated.mean_return - 0.005).abs() < 1e-12);
        let open = summarise_trading(&moments, None);
        assert_eq!((open.positions, open.blocked), (4, 0));
        assert_eq!(summarise_trading(&[], None).mean_return, 0.0);
    }

    #[test]
    fn the_gate_allows_the_calmer_part_of_the_training() {
        let volatilities = (0..100).rev().map(f64::from).collect();
        assert_eq!(RiskGate::from_training(volatilities).max_volatility, 95.0);
    }
}
