raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Give a guest a device that multiplies, in every way that you know by now; count what each way costs, and find out how much a call must ask for until no way costs anything.
#
# **What you'll learn**
# 1. Why the same device may reach 38 or 99 percent of bare metal, in the same mode.
# 2. How several guests share one device: by turns, or by virtual functions.
# 3. What is new about isolation if a device has memory and programs of its own.
#
# **What you'll need.** {lesson:pass_a_device_through}. About {minutes} minutes.
# %%
from vmio.lab import exercise, predict
from vmio.lessons.accelerate import panel as lesson
# %% [markdown]
# ## A device that multiplies
#
#     memory            the matrix engine
#     descriptors  ──>  64 KiB on the chip: weights, biases, images
#     images       ──>  256 multipliers, whole numbers of 8 bits, summed in 32 bits
#     sums         <──  an interrupt when all is done
#
# An *accelerator* is a device that computes, faster than the processor does: a GPU (graphics processing unit), or a *matrix engine* as here, which does only what neural networks are made
# of, products of matrices. This one is nobody's product. It is small enough to be read in an evening (`vmio/hardware/accelerator`), and its parts are those of real ones: a ring of descriptors, a
# doorbell, and memory on the chip that software fills by itself.
#
# Its work here: 450 images of handwritten digits, 64 pixels each. A network of 64 inputs, 32 hidden sums and 10 outputs says which digit each one is; the largest of its ten sums wins. The network has
# 64 x 32 + 32 x 10 = 2,368 weights of a byte each, and a *bias* of four bytes for each of its 42 sums, a number that is added. All numbers are whole, so every way must give the same results to the last bit.
# %% [markdown]
# ## Predict
#
# First an engine that is emulated and has no ring. All goes through its registers: each access moves four bytes, and each is an exit. Before the first image comes, weights and biases have to be on the chip.
# %%
ask = predict("load-by-registers", "How many exits until weights and biases are on the chip?", "exits")
ask
# %% [markdown]
# Now the other end: the guest has the engine for itself, and its doorbell does not exit. It asks for one image, and sleeps until the answer is there. The host's own driver does the same on bare metal, and
# let waiting cost it nothing at all.
# %%
fast = predict("share-of-bare-metal", "How fast is the guest, in percent of the host's own driver?", "percent")
fast
# %% [markdown]
# ## Run
# %%
ask.compare(lesson.load_exits())
fast.compare(lesson.share())
print()
print(lesson.ways_table())
# %% [markdown]
# 2,368 / 4 = 592 stores for the weights, and 42 for the biases. All 450 images were one call here. The last column is a hash of all 450 predictions: every way says the same of every image, and is right about 437 of them.
# %% [markdown]
# ## Compare
#
# Which instructions exited during that call?
# %%
print(lesson.reasons_table())
# %% [markdown]
# By registers, each image is 16 stores in and 10 loads out, 26 exits. With a ring, what counts is the call, not the image: a doorbell (a store where it is emulated, a hypercall where it is split, nothing where
# it is the guest's own) and a sleep. What the engine does in that time:
# %%
print(lesson.call_table())
# %% [markdown]
# Four descriptors, one interrupt. The multipliers need 5 us of these 18; the rest is moving bytes, and reading the descriptors themselves.
# %% [markdown]
# ## Explore
#
# One call to the engine. *Images a call* begins with 1. How large must a call be until the guest has 90 percent of bare metal, by each way? And with more hidden sums, is it fewer images, or more?
# %%
panel = lesson.panel()
print(panel.text)
panel.set(batch=16384)
print("\n" + panel.text)
# %%
panel.set(batch=1)
panel
# %% [markdown]
# The same as a table, and with the engine without a ring:
# %%
print(lesson.sizes_table())
# %% [markdown]
# ## Explain
#
# **A call has a fixed price.** One exit or two, an interrupt, a wake-up, and in split mode messages and the host's look at each command. That price does not grow with the images, but the engine's work does.
# So the share of bare metal is
#
#     work / (work + price)
#
# and whoever asks for much at once doesn't notice the mode. Both of these were published about graphics processors that guests own, and both are right:
#
# - J. P. Walters and others (*GPU Passthrough Performance*, IEEE CLOUD 2014) measured 98 to 100 percent of bare metal with KVM (kernel-based virtual machine): long computations, few calls.
# - R. Shea and J. Liu (*On GPU Pass-Through Performance for Cloud Gaming*, NetGames 2013) saw games fall from 85 pictures a second to fewer than 51, 60 percent: a game makes many small calls and waits for each.
#
# In the panel it is one slider. A larger network moves the same way: more work for each image, at the same price. Only registers never get there: their price is for each image, so no call is large enough.
# %% [markdown]
# ## Several guests, one engine
#
# Each guest has 4,096 images looked at. In split mode a service of the host has the engine, and guests take turns; what lies on the chip belongs to one guest, so at each turn the host saves 64 KiB
# and brings the other guest's 64 KiB back. With virtual functions each guest has on-chip memory of its own, and only the multipliers are shared: the device itself serves each function for a *time slice* of 10 us, then the next.
# %%
print(lesson.shared_table())
# %% [markdown]
# With large calls two functions need twice as long as one, as they must: the multipliers are there once. With small calls they need less than that, for one guest's work is done while the other one sleeps and wakes up. The service is
# slower, and most of all with small calls: each switch moves 128 KiB, which takes longer than the call itself.
# %% [markdown]
# ## What can a hostile guest do?
#
# An IOMMU (input-output memory management unit) keeps a device's accesses inside the guest's memory. But this device has memory of its own, and it runs a program: the guest's descriptors. Seven attacks, with the wall that stops each, and
# what happens without it:
# %%
print(lesson.attacks_table())
# %% [markdown]
# - **Leftovers** (`leftovers`, `next-turn`): what the last owner left on the chip, the next one reads. The IOMMU sees nothing of it, for nothing moves through memory. T. Sorensen and H. Khlaaf read another
#   program's answers from a language model like this (*LeftoverLocals*, 2024); graphics processors of four makers were open to it. A reset must scrub the chip; a switch must take everything along.
# - **An endless job** (`endless-job`): a descriptor may say "go on at entry 0". Without slices and a limit, the neighbour's job never comes to its turn. Windows resets a graphics processor that does not end a job within two seconds.
# - **A descriptor that is changed after the doorbell** (`command-changed`): the host checks a command in shared memory, the guest exchanges it, the host runs what it did not check. So the host copies it once, and checks the copy. In
#   passthrough nobody checks; there the engine fetches each descriptor once, and each address passes the IOMMU.
#
# {lesson:break_isolation} shows each of them step by step.
# %% [markdown]
# ## Exercises
# %% [exercise] predict-the-exits-of-a-network
# %% [stub] predict-the-exits-of-a-network
# %%
ex = exercise("predict-the-exits-of-a-network")
ex.check(exits)
# %% [exercise] check-a-descriptor
# %% [stub] check-a-descriptor
# %%
ex = exercise("check-a-descriptor")
ex.check(fits)
# %% [quiz]
# %% [markdown]
# ## In practice
#
# - **Hyper-V** gives a guest a whole graphics processor by DDA (discrete device assignment), or a share of one by GPU-PV (GPU paravirtualization): the guest's half of the driver sends its commands to the host's half over
#   VMBus (virtual machine bus), as in the split way here.
# - **Batching** is what people do about the price: frameworks for neural networks put many images into a call, and record a sequence of small calls to send it as one.
# - `python -m vmio run --device accelerator --help` runs all of this with other numbers, and with weights of your own; [docs/differences.md](../docs/differences.md) says what is simpler here than in reality.
# - *A question without an answer in the text:* your service gets 1,000 images a second, one at a time, and each answer may take 2 ms. How many would you put into a call, and what would you lose?
#   {lesson:serve_a_model} is a lab about that.
#
# {neighbours}
