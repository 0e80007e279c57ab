// Search runs in a Worker, which browsers refuse to pages that are opened as files. There a hidden frame does its work:
// the script runs in the frame, as it would in a Worker, and messages go between the frame and this page.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.title = "search"
      document.body.append(frame)
      const inside = (this.inside = frame.contentWindow)
      inside.document.open()
      inside.document.write("<!doctype html><title>search</title>")
      inside.document.close()
      const receive = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.postMessage = (data) => setTimeout(receive, 0, data)
      inside.importScripts = async (...urls) => {
        for (const url of urls) await this.load(url)
      }
      this.load(script).then(() => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach((data) => this.postMessage(data))
      })
    }

    load(url) {
      return new Promise((done, failed) => {
        const tag = this.inside.document.createElement("script")
        tag.src = new URL(url, location).href
        tag.onload = done
        tag.onerror = failed
        this.inside.document.head.append(tag)
      })
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }))
    }

    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
