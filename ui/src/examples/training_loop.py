from lumitrace.tracing import (
    get_tracer, setup_tracing, trace_batch_processing, trace_training_epoch, trace_validation,
)

setup_tracing(service_name="my-training", otlp_endpoint="http://localhost:4318")
tracer = get_tracer(__name__)

epochs, batches, loss = 3, 20, 1.0
for epoch in range(1, epochs + 1):
    with trace_training_epoch(tracer, epoch, epochs):
        for batch in range(1, batches + 1):
            with trace_batch_processing(tracer, batch, 32) as span:
                loss *= 0.97  # your training step
                span.set_attribute("loss", loss)
        with trace_validation(tracer) as span:
            span.set_attribute("val_loss", loss * 1.1)  # your evaluation
