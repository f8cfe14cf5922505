//! The `#[trace]` attribute of Lumitrace.
//!
//! **What it is.** The procedural macro behind `lumitrace::trace`; use it from there.
//!
//! **What it is not.** No runtime code: what it writes calls the public API of the `lumitrace`
//! crate.
//!
//! Modules in reading order: `arguments` (what stands in the parentheses), `expand` (the
//! function that comes out).

mod arguments;
mod expand;

use proc_macro::TokenStream;

/// Records a span around every call of a function, sync or async.
///
/// The span is named after the function, is a child of the current span and is itself current
/// while the function runs; an async function is timed over its awaits. The signature stays as it
/// is. Arguments of the attribute, all optional, separated by commas:
///
/// - `name = "..."`: another, constant name;
/// - `attributes(key = expression, "dotted.key" = expression)`: attributes, computed from the
///   function's arguments at its start;
/// - `err`: the function returns a `Result` whose error is `Display`: an `Err` is recorded on the
///   span (status, one `exception` event, `error.type`, `error.message`), and `result.status`
///   tells `success` from `error`.
///
/// ```
/// #[lumitrace::trace(name = "load_bars", attributes(pair = pair.to_owned(), num_samples = 3), err)]
/// fn load(pair: &str) -> Result<u32, std::num::ParseIntError> {
///     "17".parse()
/// }
/// assert_eq!(load("gbpusd"), Ok(17));
/// ```
#[proc_macro_attribute]
pub fn trace(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let arguments = syn::parse_macro_input!(arguments as arguments::Arguments);
    let function = syn::parse_macro_input!(function as syn::ItemFn);
    expand::traced(&arguments, function)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
