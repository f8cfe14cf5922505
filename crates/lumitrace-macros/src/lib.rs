//! The `#[trace]` attribute of Lumitrace.
//!
//! **What it is.** The procedural macro behind `lumitrace::trace`; use it from there.
//!
//! **What it is not.** No runtime code: what it writes calls the public API of the `lumitrace`
//! crate.
//!
//! Modules in reading order: `arguments` (what stands in the parentheses), `parameters` (which of the
//! function's are recorded), `returned` (a value or a future), `expand` (the function that comes out).

mod arguments;
mod expand;
mod parameters;
mod returned;

use proc_macro::TokenStream;

/// Records a span around every call of a function, sync or async.
///
/// The span is named after the function, is a child of the current span and is itself current
/// while the function runs. A function that is async, or returns `impl Future` or
/// `Pin<Box<dyn Future>>`, is timed over its awaits. The signature stays as it is. Arguments of the
/// attribute, all optional, separated by commas:
///
/// - `name = "..."`: another, constant name;
/// - `kind = "..."`: `internal` (the default), `server`, `client`, `producer` or `consumer`;
/// - `tracer = expression`: the tracer to record with, such as `self.tracer`, instead of the global
///   provider's one for this module;
/// - `attributes(key = expression, "dotted.key" = expression)`: attributes, computed from the
///   function's arguments at its start;
/// - `args(x, y)`: these arguments as attributes `args.x` and `args.y`: numbers, truth values and texts
///   as such, everything else as `Debug` prints it, cut after 1,024 bytes;
/// - `args`: all arguments but `self`; those that are named like secrets (`password`, `api_key`, `token`)
///   as `<redacted>`;
/// - `redact(password)`: these arguments as `<redacted>`;
/// - `result`: what the function returns as attribute `result`, in the same way; with `err`, the value
///   in `Ok`;
/// - `err`: the function returns a `Result` whose error is `Display`: an `Err` is recorded on the
///   span (status, one `exception` event, `error.type`, `error.message`), and `result.status`
///   tells `success` from `error`.
///
/// Arguments and results are looked at only when the span is recorded.
///
/// ```
/// #[lumitrace::trace(name = "load_bars", attributes(num_samples = 3), args(pair), result, err)]
/// fn load(pair: &str) -> Result<u32, std::num::ParseIntError> {
///     "17".parse()
/// }
/// assert_eq!(load("gbpusd"), Ok(17));
///
/// #[lumitrace::trace(kind = "client", args, redact(card))]
/// async fn pay(amount: u32, card: &str, api_key: &str) {}
/// ```
#[proc_macro_attribute]
pub fn trace(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let arguments = syn::parse_macro_input!(arguments as arguments::Arguments);
    let function = syn::parse_macro_input!(function as syn::ItemFn);
    expand::traced(&arguments, function)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
