//! The function that comes out of `#[trace]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, Type};

use crate::arguments::Arguments;
use crate::parameters::{self, Parameter};
use crate::returned::Returned;

/// `function` with its body inside a span; everything outside the body is left as it was.
pub(crate) fn traced(arguments: &Arguments, mut function: ItemFn) -> syn::Result<TokenStream> {
    if let Some(token) = &function.sig.constness {
        return Err(syn::Error::new(
            token.span(),
            "a const fn cannot record a span at run time",
        ));
    }
    let parameters = parameters::recorded(arguments, &function.sig)?;
    let start = start_span(arguments, &function);
    let record_arguments = record_arguments(&parameters);
    let work = work(arguments, &function);
    *function.block = syn::parse_quote!({
        let __lumitrace_span = #start;
        #record_arguments
        #work
    });
    Ok(quote!(#function))
}

/// The expression that starts the span; the tracer, named after the module, is looked up once.
fn start_span(arguments: &Arguments, function: &ItemFn) -> TokenStream {
    let function_name = function.sig.ident.to_string();
    let name = arguments
        .name
        .as_ref()
        .map_or_else(|| function_name.clone(), |name| name.value());
    let tracer = match &arguments.tracer {
        Some(tracer) => quote_spanned!(tracer.span() => (#tracer)),
        None => quote! {{
            static __LUMITRACE_TRACER: ::std::sync::OnceLock<::lumitrace::Tracer> =
                ::std::sync::OnceLock::new();
            ::lumitrace::global::tracer_of_module(&__LUMITRACE_TRACER, ::std::module_path!())
        }},
    };
    let kind = arguments.kind.as_ref();
    let kind = kind.map(|kind| quote!(.kind(::lumitrace::SpanKind::#kind)));
    let attributes = arguments.attributes.iter().map(|attribute| {
        let (key, value) = (&attribute.key, &attribute.value);
        quote_spanned!(value.span() => .attribute(#key, #value))
    });
    quote! {
        #tracer.span(#name).attribute("function", #function_name)#kind #(#attributes)*.start()
    }
}

/// Records the arguments before the body may move them, and only where the span is kept: printing
/// them may take long.
fn record_arguments(parameters: &[Parameter]) -> Option<TokenStream> {
    let attributes = parameters.iter().map(|parameter| {
        let Parameter { name, is_redacted } = parameter;
        let key = format!("args.{name}");
        let value = match is_redacted {
            true => quote!(::lumitrace::argument::REDACTED),
            false => value_of(&quote!(&#name)),
        };
        quote!(__lumitrace_span.set_attribute(#key, #value);)
    });
    (!parameters.is_empty()).then(|| {
        quote! {
            if __lumitrace_span.is_recording() {
                #(#attributes)*
            }
        }
    })
}

/// The attribute's value for what `reference` points to.
fn value_of(reference: &TokenStream) -> TokenStream {
    quote! {{
        use ::lumitrace::argument::{DebugArgument as _, TypedArgument as _};
        (&&::lumitrace::argument::Argument(#reference)).to_value()
    }}
}

/// The body, in the span that starts before it.
fn work(arguments: &Arguments, function: &ItemFn) -> TokenStream {
    let body = &function.block;
    let returned = Returned::of(&function.sig);
    if function.sig.asyncness.is_some() {
        let output = returned.of_call();
        let future = async_body(output, &quote!(#body));
        let future = finished_future(arguments, output, future);
        return quote!(::lumitrace::FutureExt::in_span(#future, __lumitrace_span).await);
    }
    if let Some(output) = returned.of_future() {
        let called = returned.of_call();
        let future = quote!(__lumitrace_span.scope(move || -> #called #body));
        let future = finished_future(arguments, output, future);
        let future = quote!(::lumitrace::FutureExt::in_span(#future, __lumitrace_span));
        return match returned.is_boxed() {
            true => quote!(::std::boxed::Box::pin(#future)),
            false => future,
        };
    }
    if !arguments.records_result && !arguments.records_error {
        return quote! {
            let __lumitrace_span = __lumitrace_span.entered();
            #body
        };
    }
    let output = returned.of_call();
    let finish = finish(arguments, &quote!(__lumitrace_span));
    quote! {
        // A closure, so that `return` and `?` inside it end the body and not the function.
        let __lumitrace_result: #output = __lumitrace_span.scope(move || -> #output #body);
        #finish
    }
}

/// An async function's body as a future of the given type: a block alone takes its type from its first
/// `return`, and so would not turn what it returns into a trait object.
fn async_body(output: &Type, body: &TokenStream) -> TokenStream {
    let never: Option<TokenStream> = (!matches!(output, Type::Infer(_))).then(|| {
        quote! {
            #[allow(unreachable_code, clippy::all)]
            if false {
                let __lumitrace_typed: #output = loop {};
                return __lumitrace_typed;
            }
        }
    });
    quote!(async move { #never #body })
}

/// `future`, which also records what it comes to, as far as that is asked for.
fn finished_future(arguments: &Arguments, output: &Type, future: TokenStream) -> TokenStream {
    if !arguments.records_result && !arguments.records_error {
        return future;
    }
    let finish = finish(arguments, &quote!(::lumitrace::current_span()));
    quote! {{
        let __lumitrace_body = #future;
        async move {
            let __lumitrace_result: #output = __lumitrace_body.await;
            #finish
        }
    }}
}

/// Records `__lumitrace_result` and hands it on.
fn finish(arguments: &Arguments, span: &TokenStream) -> TokenStream {
    let record_error = arguments.records_error.then(
        || quote!(let __lumitrace_result = __lumitrace_span.record_result(__lumitrace_result);),
    );
    let value = value_of(&quote!(__lumitrace_value));
    let set = quote! {
        if __lumitrace_span.is_recording() {
            __lumitrace_span.set_attribute("result", #value);
        }
    };
    let record_result = match (arguments.records_result, arguments.records_error) {
        (false, _) => quote!(),
        // An error is recorded as such.
        (true, true) => quote! {
            if let ::std::result::Result::Ok(__lumitrace_value) = &__lumitrace_result { #set }
        },
        (true, false) => quote! {
            let __lumitrace_value = &__lumitrace_result;
            #set
        },
    };
    quote! {
        let __lumitrace_span = &#span;
        #record_error
        #record_result
        __lumitrace_result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t22_the_signature_stays_as_it_is() {
        for text in [
            "pub async unsafe fn load<'a, T: Copy>(&'a mut self, t: T) -> Result<&'a T, E> where T: Send { todo() }",
            "fn load(&self) -> impl Future<Output = Result<u8, E>> + Send { todo() }",
            "fn load<'a>(&'a self) -> Pin<Box<dyn Future<Output = Result<u8, E>> + Send + 'a>> { todo() }",
            "pub(crate) fn load(&self) -> Result<u8, E> { todo() }",
        ] {
            let function: ItemFn = syn::parse_str(text).unwrap();
            let arguments: Arguments = syn::parse_str("err, result").unwrap();
            let traced = traced(&arguments, function.clone()).unwrap();
            let traced: ItemFn = syn::parse2(traced).unwrap();
            let (before, after) = (&function.sig, &traced.sig);
            assert_eq!(quote!(#before).to_string(), quote!(#after).to_string());
        }
    }

    #[test]
    fn a_const_fn_is_refused() {
        let function = syn::parse_str("const fn f() {}").unwrap();
        let error = traced(&Arguments::default(), function)
            .unwrap_err()
            .to_string();
        assert!(error.contains("const fn"), "{error}");
    }
}
