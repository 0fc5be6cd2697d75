raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Run a service: a small network answers requests that come when they like, for three tenants, on one matrix engine or on several. You choose how they share it and how many requests go into a call, you put
# a bully beside them, and you check your numbers against formulas.
#
# **What you'll learn**
# 1. Why a shared device needs large calls, and what large calls cost those who wait.
# 2. What protects a tenant from a neighbour who never pauses: a turn, a time slice, a device of its own.
# 3. How far you get on paper, with a line and a queue, before you run anything.
#
# **What you'll need.** {lesson:share_a_device} and {lesson:accelerate}. About {minutes} minutes.
# %%
from vmio.lab import Report, exercise, predict
from vmio.lessons.serve_a_model import panel as lesson
# %% [markdown]
# ## A model that is served
#
#     requests, at any time        a tenant's guest                         the matrix engine
#     ─────────────────────        ────────────────────────────             ─────────────────
#     digit, digit,   digit  ──>   waits: for more, or long enough   ──>    one call: all of them at once
#                            <──   ten sums for each image           <──    an interrupt
#
# A *tenant* is somebody who rents a guest. Each of our three tenants has the network of {lesson:accelerate} on the engine (64 inputs, 32 hidden sums, 10 outputs), and gets 40,000 requests a second, one image each. Requests come
# independently of each other, so there are pauses and crowds (a *Poisson process*, the same one each time you run it). Each answer is compared with what numpy says of that image; the tables count those that are wrong.
#
# The guest's *batching rule* has two numbers: a call begins when so many images are there, or when the first of them has waited so long. Servers for real networks have the same two numbers. They share the engine in one of three ways:
#
# | way | who has the engine |
# |---|---|
# | *service* | the host; guests send it their calls and take turns. At each turn the contents of the chip are exchanged |
# | *functions* | each guest has a virtual function with on-chip memory of its own; the device shares out its multipliers |
# | *engines* | each guest has a whole engine, so there are three |
# %% [markdown]
# ## Predict
#
# First the service, with one image in each call. An exchange of the chip's contents moves 64 KiB out and 64 KiB in, over a link that moves 3.9 bytes in a nanosecond.
# %%
ask = predict("served-one-by-one", "How many answers a second does each of the three tenants get?", "answers per second")
ask
# %% [markdown]
# Now virtual functions, up to 16 images in a call, and a fourth guest that has 16,384 images looked at, again and again. The device lets each guest work for up to 1,024 us before it looks who else is waiting.
# The *99th percentile* (p99) is the time that 99 of 100 answers do not exceed. Without that guest it is 60 us.
# %%
late = predict("p99-beside-a-bully", "What is the p99 of the tenants' answers beside that guest?", "us")
late
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.answers_by_service())
late.compare(lesson.p99_beside_a_bully())
print()
print(lesson.ways_table())
# %% [markdown]
# 40,000 requests a second come to each tenant. By the service, one by one, fewer than 9,000 are answered; the rest piles up, and p99 says nothing but how long the run was. The engine is busy all the time, with 1,201 switches for 1,200 answers: it
# moves memory. Up to 16 images in a call, and the same service keeps up.
#
# A virtual function needs no switch. One image in a call is fine, and the fastest: half of the answers come within 9 us. What larger calls save there is something else, the exits.
# %% [markdown]
# ## Compare
#
# Somebody comes who does not care. *Huge calls* is a guest that always has 16,384 images in a call. *An endless job* is one whose descriptors jump back to their beginning. Slices are 16 us.
# %%
print(lesson.bullies_table())
# %% [markdown]
# - **Engines**: the tenants' columns don't change at all. That is what three, or four, engines are paid for, and they are idle most of the time.
# - **Functions**: the bully has nine tenths of the engine, for the tenants don't want it. Each of their calls waits for the rest of a slice, and no more. An endless job is ended after 2 ms of work, and begins anew.
# - **Service**: the host looks at each command before it runs it. A jump is refused, so the endless job never reaches the engine, and the tenants notice nothing.
#
# *Jain's index* of the engine's time is 1 if everybody had equally much. Here it is no measure of what is just: a tenant that wants little has little. Look at p99.
#
# How long should a slice be?
# %%
print(lesson.slices_table())
# %% [markdown]
# By functions a change of guests costs nothing, and short slices are best for the tenants and not much worse for the bully. By the service each change is a switch of 35 us. Slices of 1 us leave time for little else; at 1,024 us a huge call is
# hardly ever cut, and everybody waits for it.
# %% [markdown]
# ## Explore
#
# The first 100 requests of each tenant. The panel begins with the service and one image a call.
#
# - Which is the smallest number of images a call with which the service keeps up?
# - Go to *functions*, then *Wait* from 0 to 200 us. Which two numbers move in opposite directions?
# - Bring a bully. Who notices, by which way, and which control protects them?
# - *Hidden sums* makes the model larger. Why do the exits not care?
# %%
panel = lesson.panel()
for settings in (dict(), dict(batch=16), dict(way="functions"), dict(bully="huge calls"), dict(slice_us=1024)):
    panel.set(**settings)
    print(panel.text + "\n")
# %%
panel.set(way="service", batch=1, bully="nobody", slice_us=16)
panel
# %% [markdown]
# ## Explain: on paper
#
# **A call.** Measure three sizes, 1, 8 and 64 images, and draw a line through them: a price, and so much for each image. Does it know the other sizes?
# %%
print(lesson.law_table())
# %% [markdown]
# To a hundredth of a percent, up to the size where something is different. 463 images fit on the chip at once beside the weights; a larger call goes in pieces, and each piece has four more descriptors of 500 ns. A line through
# small sizes cannot know that. Whoever knows the device adds it, and is right again.
#
# **A queue.** Requests come at random to somebody who serves one at a time and always takes equally long. This is the best known queue of all (M/D/1, A. K. Erlang, 1909): with calls of length *S* and a load of *L* (the part of the time
# that is work), a request waits *S L / (2 (1 - L))* on average.
# %%
print(lesson.queue_table())
# %% [markdown]
# The textbook's formula is always too low, by the same few microseconds: a guest that has nothing to do sleeps, and must wake up first. P. D. Welch solved this case, too, in 1964 (the first customer after a pause takes longer), and now paper and machine
# agree within 3 percent. The more there is to do, the less waking up matters: who is busy doesn't sleep.
#
# **A larger model.**
# %%
print(lesson.models_table())
# %% [markdown]
# The price of a call is the same for each model. Work for each image grows, room for images shrinks, and the exits stay: a call is a call.
#
# **A tenant that leaves.** The host asks the first tenant for its virtual function and gives it to the second. Before anything else, the second one reads the chip and looks for the first one's weights, in pieces of 16 bytes. Then the same with a
# reset that leaves the on-chip memory as it is.
# %%
print(lesson.handover_table())
# %% [markdown]
# A model's weights are what its owner paid for. With the scrub nothing is found, without it all of them; no exit, no fault and no wrong answer shows that somebody has looked.
# %% [markdown]
# ## The rule
#
# Twenty rules, by functions; each cell is p99 and exits per image. They don't depend on each other, so they run on all cores of your machine.
# %%
print(lesson.rules_table())
# %% [markdown]
# One image a call: as fast as it gets, at the most exits. Otherwise p99 is the time that you allow them to wait, and some 10 us. Where more images than come in that time are allowed, the number of images has no say.
# %% [markdown]
# ## Exercise
# %% [exercise] choose-the-batching-rule
# %% [stub] choose-the-batching-rule
# %%
ex = exercise("choose-the-batching-rule")
ex.check(rule)
# %% [markdown]
# ## Your report
#
# Write down what you would do, as if somebody had to decide with it. Answer the questions, set the panel above to what supports you, and give `save` the name of a new folder. In it are your text, the tables for a spreadsheet (`.csv`) and the figures.
# %%
report = Report("Serve a model", [
    "Three tenants want p99 below 100 us at 40,000 requests a second each. Which way, which rule, and how many exits for each image?",
    "The fourth tenant is a bully. What do you promise the other three, and which number of yours says that you can keep it?",
    "Up to which load would you trust the formula, and what would you measure first?"])
report.table("Three ways, with and without batches", ("way", "images a call", "p50 us", "p99 us", "exits per image"), lesson.report_rows())
report.panel("My own setting", panel)
report.answer(1, "")
print(report.save(""))
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Batching servers.** Triton, an inference server that many people use, has the same two numbers: a preferred size of a batch, and a largest delay in its queue (*Dynamic Batcher* in its User Guide).
# - **Shared GPUs** (graphics processing units) are offered in the three ways of this lab: by time slices of a driver in the host, by hardware partitions with memory of their own, and whole. Prices differ by more than p99 does.
# - **Interrupt moderation** ({lesson:move_packets}) is the same rule at another place: wait for more, but not for long.
# - *A question without an answer in the text:* by functions the engine is idle nine tenths of the time, and each tenant could be one of thirty. How many would you let in, when nobody tells you that they won't all be busy at the same time?
#
# {neighbours}
